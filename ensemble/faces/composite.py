"""Redrawn crops back into the picture at its own resolution: only mask pixels change."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..pictures import colours

# The drift of VAE and sampler is smooth: it is estimated on a grid this fine over the crop, with a
# Gaussian of this many cells (a sixth of the crop, a third of the face).
_CELLS = 36
_SIGMA = 6.0
_LEAST_RING = 0.01


def drift(new: torch.Tensor, old: torch.Tensor, ring: torch.Tensor) -> torch.Tensor:
    """What to add to `new` `[S,S,C]` for `old`'s colours, measured on the ring `[S,S]` (1 or 0).

    The ring was kept and shows the same in both, so the difference there is drift. It is carried on
    into the face smoothly (normalised convolution, Knutsson and Westin 1993), and its mean over the
    ring is exact. Zero where there is no ring to speak of.
    """
    if float(ring.mean()) < _LEAST_RING:
        return torch.zeros_like(new)
    off = (old - new).movedim(-1, 0)[None]
    weight = ring[None, None]
    cells = min(_CELLS, new.shape[0])
    sums = _blurred(F.adaptive_avg_pool2d(off * weight, cells))
    shares = _blurred(F.adaptive_avg_pool2d(weight, cells))
    field = F.interpolate(
        sums / shares.clamp(min=1e-12), new.shape[:2], mode="bilinear", align_corners=False
    )
    left = ((off - field) * weight).sum((2, 3), keepdim=True) / weight.sum()
    return (field + left)[0].movedim(0, -1)


def _blurred(grid: torch.Tensor) -> torch.Tensor:
    # kornia's gaussian_blur2d takes 14 times as long on so small a grid.
    cells = grid.shape[-1]
    place = torch.arange(cells, dtype=torch.float32)
    sigma = _SIGMA * cells / _CELLS
    kernel = torch.exp(-((place[:, None] - place[None]) ** 2) / (2 * sigma**2))
    return kernel @ grid @ kernel.T


def put_back(
    picture: torch.Tensor, new: torch.Tensor, mask: torch.Tensor, ring: torch.Tensor
) -> None:
    """Blend `new` `[S,S,3]` into the view `picture` `[S,S,C]` by `mask` `[S,S]`, in place; alpha
    and pixels where the mask is 0 stay bit for bit."""
    channels = colours(picture.shape[-1])
    old = picture[..., :channels].float()
    new = (new if channels == 3 else new.mean(-1, keepdim=True)).to(old)
    matched = new + drift(new, old, ring.to(old))
    weight = mask.to(old)[..., None]
    blend = torch.lerp(old, matched, weight).clamp_(0.0, 1.0).to(picture.dtype)
    picture[..., :channels] = torch.where(weight > 0.0, blend, picture[..., :channels])
