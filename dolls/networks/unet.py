"""UNet and ControlNet: two levels, of which the finer one has no transformer."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from .factors import Low, LowConv
from .layers import (
    ATTENTION_RANK,
    EMBEDDING_RANK,
    WIDTH,
    Context,
    Down,
    FirstConv,
    Norm,
    ResBlock,
    SpatialTransformer,
    Stage,
    Up,
)

LEVELS = 2
TIED = ("time_embed.", "emb_layers.", "transformer_blocks.", "proj_in.", "proj_out.", ".1.norm.")
"""Parts of a ControlNet that stay the UNet's own, by pieces of their keys, and are not shipped."""


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
            Low(WIDTH, 4 * WIDTH, EMBEDDING_RANK * 2),
            nn.SiLU(),
            Low(4 * WIDTH, 4 * WIDTH, EMBEDDING_RANK * 2),
        )
        blocks = [Stage(FirstConv())]
        for level in range(LEVELS):
            blocks += [Stage(ResBlock(WIDTH, WIDTH), *_transformers(level))]
            blocks += [Stage(Down())] if level < LEVELS - 1 else []
        self.input_blocks = nn.ModuleList(blocks)
        self.middle_block = Stage(
            ResBlock(WIDTH, WIDTH), SpatialTransformer(), ResBlock(WIDTH, WIDTH)
        )


def _transformers(level: int) -> list[nn.Module]:
    return [SpatialTransformer()] if level else []


class UNet(Trunk):
    """Predicts the noise in latents."""

    def __init__(self) -> None:
        super().__init__()
        blocks = []
        for level in reversed(range(LEVELS)):
            for i in range(2):
                up = [Up()] if level and i else []
                blocks += [Stage(ResBlock(2 * WIDTH, WIDTH), *_transformers(level), *up)]
        self.output_blocks = nn.ModuleList(blocks)
        last = nn.Conv2d(WIDTH, 4, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.out = nn.Sequential(Norm(WIDTH), nn.SiLU(), last)

    def forward(
        self, x: Tensor, t: Tensor, ctx: Context, control: list[Tensor] | None = None
    ) -> Tensor:
        """x `[B,4,h,w]`, t `[B]` in 0..999, control: what a ControlNet puts out."""
        emb = self.time_embed(timestep_embedding(t))
        skips, h = [], x
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
        for n_in, n_out, stride in _HINT:
            # Small ones are small already.
            factored = n_in * n_out > 9000
            conv = nn.Conv2d(n_in, n_out, 3, stride, 1)
            hint += [LowConv(n_in, n_out, 64, stride) if factored else conv, nn.SiLU()]
        self.input_hint_block = nn.Sequential(*hint[:-1])
        self.zero_convs = nn.ModuleList([_zero_conv() for _ in self.input_blocks])
        self.middle_block_out = _zero_conv()

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
        emb = self.time_embed(timestep_embedding(t))
        out, h = [], x
        for i, (block, zero) in enumerate(zip(self.input_blocks, self.zero_convs, strict=True)):
            h = block(h, emb, ctx)
            h = h + self.input_hint_block(hint) if i == 0 else h
            out.append(zero(h))
        return [*out, self.middle_block_out(self.middle_block(h, emb, ctx))]


_HINT = (
    (3, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 96, 2), (96, 96, 1), (96, 256, 2),
    (256, WIDTH, 1),
)  # fmt: skip


def _zero_conv() -> nn.Sequential:
    return nn.Sequential(Low(WIDTH, WIDTH, ATTENTION_RANK, conv=True, zero=True))


def lora_layers(unet: nn.Module) -> Iterator[tuple[str, Low]]:
    """The layers a LoRA touches: all that is linear in the transformers, their 1x1 convolutions."""
    places = ("transformer_blocks.", "proj_in", "proj_out")
    for name, layer in unet.named_modules():
        if isinstance(layer, Low) and any(place in name for place in places):
            yield name, layer
