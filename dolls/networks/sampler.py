"""Noise: how much of it there is at each step, and a small DDIM sampler to look at progress."""

import torch
from torch import Tensor

from .layers import Context
from .unet import ControlNet, UNet


def alphas_cumprod(device: torch.device | str) -> Tensor:
    """SD1.5's schedule, `[1000]`: the share of the picture that is left at each step."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).float().to(device)


@torch.no_grad()
def ddim(
    unet: UNet,
    ctx: Context,
    blank: Context,
    size: tuple[int, int],
    steps: int = 25,
    cfg: float = 4.0,
    seed: int = 0,
    control: ControlNet | None = None,
    hint: Tensor | None = None,
) -> Tensor:
    """Latents `[B,4,*size]` (Song et al. 2020, eta 0). blank: the empty prompt."""
    device = ctx.text.device
    kept = alphas_cumprod(device)
    shape = (len(ctx.text), 4, *size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device)
    times = torch.linspace(999, 0, steps, device=device).round().long()
    for i, time in enumerate(times):
        t = time.expand(len(x))
        told, untold = (_noise(unet, x, t, each, control, hint) for each in (ctx, blank))
        noise = untold + cfg * (told - untold)
        a = kept[time]
        b = kept[times[i + 1]] if i + 1 < steps else torch.ones((), device=device)
        clean = ((x - (1 - a).sqrt() * noise) / a.sqrt()).clamp(-4, 4)
        noise = (x - a.sqrt() * clean) / (1 - a).sqrt()
        x = b.sqrt() * clean + (1 - b).sqrt() * noise
    return x


def _noise(
    unet: UNet,
    x: Tensor,
    t: Tensor,
    ctx: Context,
    control: ControlNet | None,
    hint: Tensor | None,
) -> Tensor:
    more = control(x, hint, t, ctx) if control is not None and hint is not None else None
    return unet(x, t, ctx, more).float()
