"""A mask over its picture, for people to look at: what will be repainted is tinted."""

import torch

from ..pictures import rgb

TINT = (214 / 255, 76 / 255, 76 / 255)
STRENGTH = 0.6


def overlay(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`image` `[B,H,W,C]` with TINT where `mask` `[B,H,W]` is white, `[B,H,W,3]` in 0..1."""
    picture = rgb(image).float().cpu()
    share = STRENGTH * mask.float().cpu()[..., None]
    return picture * (1 - share) + torch.tensor(TINT) * share
