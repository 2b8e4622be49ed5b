"""An autoencoder of TAESD's layout, narrower where pixels are many: pictures, 8 times smaller
latents, and back. `unfold.autoencoder` makes the layout's 64 channels of it."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 48, 64)
"""Channels where the picture is whole, halved, quartered and at an eighth of its sides."""


class Block(nn.Module):
    """A residual block that starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        first, second, third = (_conv(width, width) for _ in range(3))
        nn.init.zeros_(third.weight)
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


def _conv(n_in: int, n_out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    conv = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=bias)
    nn.init.normal_(conv.weight, std=(1.5 / (9 * n_in)) ** 0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class Autoencoder(nn.Module):
    """Pictures `[B,3,H,W]` in 0..1 <-> latents `[B,4,H/8,W/8]` of about unit variance, in the UNet's
    own scale. Modules lie at the places where TAESD has them; the encoder does without every third
    block."""

    def __init__(self) -> None:
        super().__init__()
        finest, coarsest = WIDTHS[0], WIDTHS[-1]
        encoder: list[nn.Module] = [_conv(3, finest), Block(finest)]
        for wide, narrow in pairwise(WIDTHS):
            encoder += [_conv(wide, narrow, 2, False), Block(narrow), Block(narrow), nn.Identity()]
        decoder: list[nn.Module] = [Clamp(), _conv(4, coarsest), nn.ReLU()]
        for narrow, wide in pairwise(reversed(WIDTHS)):
            decoder += [Block(narrow) for _ in range(3)]
            decoder += [nn.Upsample(scale_factor=2), _conv(narrow, wide, bias=False)]
        self.taesd_encoder = nn.Sequential(*encoder, _conv(coarsest, 4))
        self.taesd_decoder = nn.Sequential(*decoder, Block(finest), _conv(finest, 3))

    def encode(self, pictures: Tensor) -> Tensor:
        return self.taesd_encoder(pictures.contiguous(memory_format=torch.channels_last))

    def decode(self, latents: Tensor) -> Tensor:
        return self.taesd_decoder(latents.contiguous(memory_format=torch.channels_last))
