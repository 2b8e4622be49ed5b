"""UNet and ControlNet: three levels, of which the finest has no transformer."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .layers import (
    EMBEDDING,
    WIDTH,
    Context,
    Conv,
    Down,
    First,
    Linear,
    Norm,
    ResBlock,
    SpatialTransformer,
    Stage,
    Up,
    level,
    tell,
)
from .layout import Layout, padded, whole

LEVELS = tuple(level(width) for width in (64, 64, 160))
"""From the finest: 5, 5 and 2 copies of each channel in the file."""
TIED = ("time_embed.", "emb_layers.", "transformer_blocks.", "proj_in.", "proj_out.", ".1.norm.")
"""Parts of a ControlNet that stay the UNet's own, by pieces of their keys, and are not shipped."""
_LATENT = whole(4)


def is_tied(key: str) -> bool:
    return any(part in key for part in TIED)


def timestep_embedding(t: Tensor) -> Tensor:
    """`[B]` steps 0..999 -> `[B,320]` (Ho et al. 2020, as latent diffusion lays it out)."""
    half = WIDTH // 2
    place = torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * torch.exp(-math.log(10000) * place / half)
    return torch.cat([angles.cos(), angles.sin()], -1)


class Trunk(nn.Module):
    """What UNet and ControlNet share: the way down and the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(
            Linear(whole(WIDTH), EMBEDDING), nn.SiLU(), Linear(EMBEDDING, EMBEDDING)
        )
        blocks = [Stage(First(_LATENT, LEVELS[0]))]
        for i, layout in enumerate(LEVELS):
            if i:
                blocks.append(Stage(Down(LEVELS[i - 1], layout)))
            blocks.append(Stage(ResBlock(layout, layout), *_transformers(i)))
        self.input_blocks = nn.ModuleList(blocks)
        deep = LEVELS[-1]
        self.middle_block = Stage(
            ResBlock(deep, deep), SpatialTransformer(deep), ResBlock(deep, deep)
        )


def _transformers(i: int) -> list[nn.Module]:
    return [SpatialTransformer(LEVELS[i])] if i else []


class UNet(Trunk):
    """Predicts the noise in latents."""

    def __init__(self) -> None:
        super().__init__()
        blocks = []
        for i in reversed(range(len(LEVELS))):
            layout = LEVELS[i]
            for last in (False, True):
                up = [Up(layout, LEVELS[i - 1])] if i and last else []
                block = ResBlock(layout + layout, layout)
                blocks.append(Stage(block, *_transformers(i), *up))
        self.output_blocks = nn.ModuleList(blocks)
        finest = LEVELS[0]
        self.out = nn.Sequential(Norm(finest), nn.SiLU(), Conv(finest, _LATENT, zero=True))

    def forward(
        self, x: Tensor, t: Tensor, ctx: Context, control: list[Tensor] | None = None
    ) -> Tensor:
        """x `[B,4,h,w]`, t `[B]` in 0..999, control: what a ControlNet puts out."""
        emb, ctx = self.time_embed(timestep_embedding(t)), tell(self, ctx)
        skips, h = [], x.contiguous(memory_format=torch.channels_last)
        for block in self.input_blocks:
            h = block(h, emb, ctx)
            skips.append(h)
        h = self.middle_block(h, emb, ctx)
        if control is not None:
            h = h + control[-1]
            skips = [skip + more for skip, more in zip(skips, control, strict=False)]
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], 1), emb, ctx)
        return self.out(h)


class ControlNet(Trunk):
    """Starts as a copy of the UNet's trunk; what TIED names stays the UNet's own."""

    def __init__(self) -> None:
        super().__init__()
        hint: list[nn.Module] = []
        ins = whole(3)
        for layout, stride in _HINT:
            hint += [Conv(ins, layout, stride=stride), nn.SiLU()]
            ins = layout
        self.input_hint_block = nn.Sequential(*hint, Conv(ins, LEVELS[0]))
        self.zero_convs = nn.ModuleList([
            nn.Sequential(_zero_conv(layout))
            for i, layout in enumerate(LEVELS)
            for _ in range(2)
        ])  # fmt: skip
        self.middle_block_out = nn.Sequential(_zero_conv(LEVELS[-1]))

    def start_from(self, unet: dict[str, Tensor]) -> None:
        own = dict(self.named_parameters())
        self.load_state_dict({k: v for k, v in unet.items() if k in own}, strict=False)

    def tie(self, unet: dict[str, Tensor]) -> None:
        """Put the UNet's own parts in and keep them from being trained."""
        own = dict(self.named_parameters())
        tied = {key: value for key, value in unet.items() if key in own and is_tied(key)}
        self.load_state_dict(tied, strict=False)
        for key, parameter in own.items():
            parameter.requires_grad_(not is_tied(key))

    def forward(self, x: Tensor, hint: Tensor, t: Tensor, ctx: Context) -> list[Tensor]:
        """hint: the pose map `[B,3,8h,8w]` in 0..1. What to add to every skip and the middle."""
        emb, ctx = self.time_embed(timestep_embedding(t)), tell(self, ctx)
        hint = hint.contiguous(memory_format=torch.channels_last)
        out, h = [], x.contiguous(memory_format=torch.channels_last)
        for i, (block, zero) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            h = block(h, emb, ctx)
            h = h + self.input_hint_block(hint) if i == 0 else h
            out.append(zero(h))
        return [*out, self.middle_block_out(self.middle_block(h, emb, ctx))]


_HINT = (
    (padded(8, 16), 1), (padded(8, 16), 1), (padded(16, 32), 2), (padded(16, 32), 1),
    (padded(32, 96), 2), (padded(32, 96), 1), (padded(64, 256), 2),
)  # fmt: skip
"""Layouts and strides on the pose map's way down to latents."""


def _zero_conv(layout: Layout) -> Conv:
    return Conv(layout, layout, side=1, zero=True)


def lora_layers(unet: nn.Module) -> Iterator[tuple[str, Linear]]:
    """The layers a LoRA touches: all that are linear in the transformers."""
    for name, layer in unet.named_modules():
        if isinstance(layer, Linear) and "transformer_blocks." in name:
            yield name, layer


def strengthen(unet: nn.Module, by: float) -> None:
    """Multiply what the LoRA of its layers adds."""
    with torch.no_grad():
        for _, layer in lora_layers(unet):
            layer.lora()[1].mul_(by)
