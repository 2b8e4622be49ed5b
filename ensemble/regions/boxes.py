"""Boxes in parts of the picture -> one soft mask per person."""

import torch

from .layout import SIZE
from .rect import Rect, Unit

_ROUNDING = 1e-3  # an editor rounds; a box may stick out of the picture by so much


def read_box(row: object, name: str) -> Rect:
    """`[x, y, width, height]` in fractions of the picture. `name` says which one, for the ValueError
    where it cannot be read."""
    if not (
        isinstance(row, list)
        and len(row) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in row)
        and all(-1 <= v <= 2 for v in row)  # so no NaN, and nothing beyond what float() holds
    ):
        raise ValueError(
            f"{name}: {shown(row)} must be four numbers "
            "[x, y, width, height] in parts of the picture, 0 to 1, and may have a fifth: who is in "
            "front has the larger one"
        )
    x, y, width, height = map(float, row)
    inside = x >= -_ROUNDING and y >= -_ROUNDING
    inside = inside and x + width <= 1 + _ROUNDING and y + height <= 1 + _ROUNDING
    if not (inside and width > 0 and height > 0):
        raise ValueError(
            f"{name}: {shown(row)} must lie in the picture, which goes from 0 "
            "to 1 both ways, and be wider and higher than 0"
        )
    return Rect.sized(max(x, 0.0), max(y, 0.0), width, height, Unit.FRACTIONS)


def shown(row: object) -> str:
    """As an error quotes it."""
    text = repr(row)
    return text if len(text) <= 60 else text[:59] + "…"


def box_masks(boxes: list[Rect], feather: float) -> torch.Tensor:
    """Masks `[N, SIZE, SIZE]` in 0..1, stretched over whatever is sampled.

    `feather` is the width of the linear ramp across a border, as a fraction of the picture; it is
    held below a box's own size. Where a box touches the picture's edge there is none, so boxes side
    by side over the whole picture are the columns of `lay_out`.
    """
    return torch.stack(
        [
            _ramp(box.top, box.height, feather)[:, None] * _ramp(box.left, box.width, feather)[None]
            for box in boxes
        ]
    )


def _ramp(start: float, length: float, feather: float) -> torch.Tensor:
    """1 inside, 0 outside, `[SIZE]`."""
    position = (torch.arange(SIZE) + 0.5) / SIZE
    feather = max(min(feather, length), 1e-6)
    entered, left = torch.ones(SIZE), torch.zeros(SIZE)
    if start > _ROUNDING:
        entered = ((position - start) / feather + 0.5).clamp(0, 1)
    if start + length < 1 - _ROUNDING:
        left = ((position - start - length) / feather + 0.5).clamp(0, 1)
    return (entered - left).clamp(min=0)
