"""An autoencoder of TAESD's shape: pictures, 8 times smaller latents, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .factors import LowConv

WIDTH = 64


class Block(nn.Module):
    """A residual block that starts as the identity. rank: of its factors; 0 for whole weights."""

    def __init__(self, rank: int):
        super().__init__()
        first, second, third = (_conv(WIDTH, WIDTH, rank) for _ in range(3))
        nn.init.zeros_(third.b if isinstance(third, LowConv) else third.weight)
        self.conv = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


def _conv(
    n_in: int, n_out: int, rank: int = 0, stride: int = 1, bias: bool = True
) -> LowConv | nn.Conv2d:
    if rank:
        return LowConv(n_in, n_out, rank, stride, bias)
    conv = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=bias)
    nn.init.normal_(conv.weight, std=(1.5 / (9 * n_in)) ** 0.5)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class Autoencoder(nn.Module):
    """Pictures `[B,3,H,W]` in 0..1 <-> latents `[B,4,H/8,W/8]` of about unit variance, in the UNet's
    own scale. The encoder is factored, the decoder, which has to be sharp, is not."""

    def __init__(self, encoder_rank: int = 32):
        super().__init__()
        encoder: list[nn.Module] = [_conv(3, WIDTH), Block(encoder_rank)]
        decoder: list[nn.Module] = [Clamp(), _conv(4, WIDTH), nn.ReLU()]
        for _ in range(3):
            encoder += [_conv(WIDTH, WIDTH, encoder_rank, 2, False)]
            encoder += [Block(encoder_rank) for _ in range(3)]
            decoder += [Block(0) for _ in range(3)]
            decoder += [nn.Upsample(scale_factor=2), _conv(WIDTH, WIDTH, bias=False)]
        self.taesd_encoder = nn.Sequential(*encoder, _conv(WIDTH, 4))
        self.taesd_decoder = nn.Sequential(*decoder, Block(0), _conv(WIDTH, 3))

    @torch.no_grad()
    def calibrate(self, pictures: Tensor) -> None:
        """Before training: latents begin at unit variance, decoded pictures at half the data's."""
        latents = self.encode(pictures)
        _rescale(self.taesd_encoder[-1], latents, torch.zeros(()), torch.ones(()))
        decoded = self.decode(self.encode(pictures))
        mean, std = pictures.mean((0, 2, 3)), pictures.std((0, 2, 3))
        _rescale(self.taesd_decoder[-1], decoded, mean, 0.5 * std)

    def encode(self, pictures: Tensor) -> Tensor:
        return self.taesd_encoder(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        x = self.taesd_decoder[:-1](latents)
        # In bfloat16 the steps between bright values are as large as the errors that are left.
        with torch.autocast(x.device.type, enabled=False):
            return self.taesd_decoder[-1](x.float())


def _rescale(last: nn.Module, output: Tensor, mean: Tensor, std: Tensor) -> None:
    """Give what the convolution `last` puts out this mean and spread per channel."""
    scale = std.to(output) / output.std((0, 2, 3))
    last.weight.mul_(scale[:, None, None, None])
    last.bias.sub_(output.mean((0, 2, 3))).mul_(scale).add_(mean.to(output))
