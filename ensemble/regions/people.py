"""Skeletons -> one soft region per person; with the background they sum to 1 at every pixel."""

from collections.abc import Sequence
from enum import Enum

import numpy as np
import torch

from . import shapes
from .capsules import part_fields
from .depth import depth_of, hidden

# Regions are soft, so the field is worked out on about this many points and then enlarged.
_CELLS = 256 * 256
_DEPTH = 0.16  # inside a body every point counts as at most this deep, in torso lengths
_BEHIND = 0.25  # what a part behind another body's pays where that covers it


class Shape(str, Enum):
    CAPSULE = "capsule"
    HULL = "hull"
    BOX = "box"
    COLUMNS = "columns"


def body_regions(
    bodies: np.ndarray,
    width: int,
    height: int,
    shape: Shape = Shape.CAPSULE,
    feather: float = 0.06,
    margin: float = 0.3,
    front: Sequence[float] | None = None,
) -> torch.Tensor:
    """Regions `[N,H,W]` in 0..1 of `[N,18,3]` bodies in pixels; 1 - their sum is the background.

    Each point goes by softmax to the body that is nearest in that body's own torso lengths (a
    multiplicatively weighted Voronoi diagram, so that a big person does not swallow a small one)
    or to the background beyond `margin`. `feather` is the softmax's temperature. Both count in
    torso lengths; with `columns` in picture widths, and nothing is left to the background.

    Where bodies overlap the one in front has the point (`.depth`): by `front`, a number for each
    body, larger in front, and where that is equal as they stand. Columns know no front.
    """
    if not len(bodies):
        return torch.zeros(0, height, width)
    coarse = min(1.0, (_CELLS / (width * height)) ** 0.5)
    w, h = max(1, round(width * coarse)), max(1, round(height * coarse))
    x = (torch.arange(w) + 0.5) * (width / w)
    y = (torch.arange(h) + 0.5) * (height / h)
    feather = max(feather, 1e-3)
    if shape is Shape.COLUMNS:
        logits = -shapes.column_field(bodies, x, y, width) / feather
    else:
        field = _field(shape, bodies, x, y, height)
        depth = depth_of(bodies, front, field, (x, y))
        logits = _against_background(field, hidden(field, depth, feather), margin, feather)
    weights = torch.softmax(logits, dim=0)[: len(bodies)]
    if (h, w) != (height, width):
        # Bilinear weights sum to 1, so the sum over people and background stays 1.
        weights = torch.nn.functional.interpolate(
            weights[None], (height, width), mode="bilinear", align_corners=False
        )[0]
    return weights


def _field(
    shape: Shape, bodies: np.ndarray, x: torch.Tensor, y: torch.Tensor, height: int
) -> torch.Tensor:
    """`[N,P,h,w]`: of each part of a body, or of the whole as one."""
    if shape is Shape.HULL:
        return shapes.hull_field(bodies, x, y)[:, None]
    if shape is Shape.BOX:
        return shapes.box_field(bodies, x, y)[:, None]
    return part_fields(bodies, x, y, height)


def _against_background(
    field: torch.Tensor, hides: torch.Tensor, margin: float, feather: float
) -> torch.Tensor:
    """Logits `[N+1,h,w]`: people, each by the part that is nearest and least hidden, then
    background. field and hides `[N,P,h,w]`."""
    distance = (field.clamp_min(-_DEPTH) + _BEHIND * hides).amin(1)
    background = torch.full_like(distance[:1], margin)
    return torch.cat([distance, background]) / -feather
