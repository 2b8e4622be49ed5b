"""Mask algebra: union, subtraction, holes, islands, growing by true distance, feathering.

A MASK is `[B,H,W]` in 0..1; everything runs on the mask's own device. Distances are Euclidean, in
pixels, between pixel centres, and exact. The picture's border is not an edge: what a mask looks
like beyond it is unknown, so nothing shrinks away from it.
"""

import math
import re
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F

# Below this a pixel does not tie two parts of a soft mask together.
FAINT = 0.1
# How much of the thickest part a shrink that asks for more than all of it may take.
KEEP_SHARE = 0.9

_LENGTH = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))\s*(%|px)?", re.IGNORECASE)


@dataclass(frozen=True)
class Length:
    """A signed distance: pixels of the picture at hand, or percent of the selection's radius."""

    value: float = 0.0
    percent: bool = False

    def pixels(self, radius: torch.Tensor) -> torch.Tensor:
        """The distance in pixels for selections of the given equivalent radii, `[B]` -> `[B]`."""
        if self.percent:
            return radius * (self.value / 100)
        return torch.full_like(radius, self.value)


def parse_length(text: str, name: str) -> Length:
    """Read "-20", "12px" or "-20%". `name` is the node input, for the error."""
    match = _LENGTH.fullmatch(text.strip()) if text.strip() else None
    if text.strip() and not match:
        raise ValueError(
            f'{name} = "{text}" is not a distance: give pixels like "-20", or a share of the '
            f'selection\'s radius like "-20%".'
        )
    if not match:
        return Length()
    return Length(float(match[1]), match[2] == "%")


def centre(mask: torch.Tensor) -> tuple[float, float] | None:
    """The centre of mass of `[H,W]`, x and y in parts of the picture; None of an empty mask."""
    total = float(mask.sum())
    if not total:
        return None
    x, y = (
        float((mask.sum(axis) * (torch.arange(size) + 0.5)).sum()) / total / size
        for axis, size in ((0, mask.shape[1]), (1, mask.shape[0]))
    )
    return x, y


def union(masks: torch.Tensor) -> torch.Tensor:
    """`[N,B,H,W]` -> `[B,H,W]`: the largest of the N masks at each pixel."""
    return masks.amax(dim=0)


def subtract(mask: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """What is left of a mask without the other. Where both fade out together, nothing is left."""
    return (mask - other).clamp(0, 1)


def equivalent_radius(mask: torch.Tensor) -> torch.Tensor:
    """`[B,H,W]` -> `[B]`: radius in pixels of the disc that has the mask's area."""
    return (mask.sum(dim=(1, 2)) / math.pi).sqrt()


def distance_to(region: torch.Tensor) -> torch.Tensor:
    """Distance in pixels from each pixel to the nearest True one, `[B,H,W]` bool -> float32;
    infinite where a picture has none."""
    from scipy.ndimage import distance_transform_edt

    fields = [
        torch.from_numpy(np.asarray(distance_transform_edt(~one.cpu().numpy())))
        if one.any()
        else torch.full(one.shape, math.inf)
        for one in region
    ]
    return torch.stack([field.float() for field in fields]).to(region.device)


def signed_distance(mask: torch.Tensor) -> torch.Tensor:
    """Distance in pixels to the mask's edge at one half, positive inside.

    The edge lies half-way between the last pixel inside and the first outside.
    """
    inside = mask >= 0.5
    return torch.where(inside, distance_to(~inside) - 0.5, 0.5 - distance_to(inside))


def grow(mask: torch.Tensor, amount: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Move each mask's edge outward by `amount[i]` pixels, or inward where it is negative.

    `[B,H,W]`, `[B]` -> the moved masks and the distances really used, `[B]`: a shrink that would
    leave nothing of its mask stops at nine tenths of the way. The moved edge is one pixel soft; a
    mask with amount 0 is returned as it is, soft edges and all.
    """
    if not amount.any():
        return mask, amount
    signed = signed_distance(mask)
    thickest = (signed + 0.5).amax(dim=(1, 2)).clamp(min=0)
    emptied = (amount < 0) & (thickest > 0) & (thickest <= -amount)
    used = torch.where(emptied, -KEEP_SHARE * thickest, amount)
    moved = (signed + used.view(-1, 1, 1) + 0.5).clamp(0, 1)
    return torch.where((used == 0).view(-1, 1, 1), mask, moved), used


def feather(mask: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Rebuild each edge as a straight ramp `width[i]` pixels wide, half of it on either side.

    The half-way line stays where it was, and pixels further away than half the width are exactly
    0 or 1. A width of 1 or less leaves the mask as it is.
    """
    if not (width > 1).any():
        return mask
    width = width.view(-1, 1, 1)
    ramp = (signed_distance(mask) / width.clamp(min=1) + 0.5).clamp(0, 1)
    return torch.where(width > 1, ramp, mask)


def _components(region: torch.Tensor) -> tuple[torch.Tensor, int]:
    """4-connected parts of one `[H,W]` bool picture, numbered from 1. SciPy's labels are exact,
    where a labelling by repeated max-pooling needs as many rounds as the longest part has pixels.
    """
    from scipy import ndimage

    labels, count = cast(tuple[np.ndarray, int], ndimage.label(region.cpu().numpy()))
    return torch.from_numpy(labels).to(region.device, torch.int64), count


def fill_holes(mask: torch.Tensor, share: float) -> torch.Tensor:
    """Fill holes smaller than `share` of the mask's area (0: none, 1: all that are smaller than
    the mask). A hole is a part outside the mask that does not touch the picture's border."""
    if share <= 0:
        return mask
    return torch.stack([_fill_one(one, share) for one in mask])


def _fill_one(mask: torch.Tensor, share: float) -> torch.Tensor:
    labels, count = _components(mask < 0.5)
    area = torch.bincount(labels.flatten(), minlength=count + 1)
    border = torch.cat([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    hole = area < share * (mask >= 0.5).sum()
    hole[border] = False
    hole[0] = False
    return torch.where(hole[labels], torch.ones_like(mask), mask)


def drop_islands(mask: torch.Tensor, share: float) -> torch.Tensor:
    """Drop parts smaller than `share` of the largest part (0: none, 1: all but the largest)."""
    if share <= 0:
        return mask
    return torch.stack([_drop_one(one, share) for one in mask])


def _drop_one(mask: torch.Tensor, share: float) -> torch.Tensor:
    labels, count = _components(mask > FAINT)
    if not count:
        return mask
    area = torch.bincount(labels.flatten(), weights=mask.flatten(), minlength=count + 1)
    island = area < share * area[1:].max()
    island[0] = False
    return torch.where(island[labels], torch.zeros_like(mask), mask)


def fit(mask: torch.Tensor, batch: int, height: int, width: int) -> torch.Tensor:
    """A mask `[b,h,w]` or `[h,w]` in the size and number of the pictures it belongs to.

    Raises ValueError where the numbers differ and neither is 1.
    """
    mask = mask.reshape(-1, *mask.shape[-2:]).float()
    if mask.shape[0] not in (1, batch):
        raise ValueError(
            f"mask holds {mask.shape[0]} masks for {batch} pictures: give 1 or {batch}."
        )
    if mask.shape[1:] != (height, width):
        mask = F.interpolate(mask[:, None], (height, width), mode="bilinear", antialias=True)[:, 0]
    return mask.clamp(0, 1).expand(batch, -1, -1)
