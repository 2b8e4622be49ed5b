"""A mask over its picture, for people to look at: what will be repainted is tinted."""

import torch

TINT = (214 / 255, 76 / 255, 76 / 255)
STRENGTH = 0.6


def overlay(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`image` `[B,H,W,C]` with TINT where `mask` `[B,H,W]` is white, `[B,H,W,3]` in 0..1."""
    picture = image[..., :3].float().cpu()
    picture = picture.expand(-1, -1, -1, 3) if picture.shape[-1] == 1 else picture
    share = STRENGTH * mask.float().cpu()[..., None]
    return picture * (1 - share) + torch.tensor(TINT) * share
