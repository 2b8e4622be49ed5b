"""Boxes that people draw by hand -> one soft mask per person."""

import json

import torch

from .layout import SIZE
from .rect import Rect, Unit

_EXAMPLE = "[[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]"
_FRONT = 32  # levels of depth that a box can have
_ROUNDING = 1e-3  # an editor rounds; a box may stick out of the picture by so much


def read_boxes(text: str, people: int | None) -> list[Rect]:
    """`[[x, y, width, height], …]` in fractions of the picture, one for each of `people` persons in
    prompt order; empty text is no boxes. With `people` None any number will do. A box may have a
    fifth number, which `read_fronts` reads. Raises ValueError that names what is wrong.
    """
    rows = _rows(text)
    if not rows:
        return []
    boxes = [_box(row, number) for number, row in enumerate(rows, 1)]
    if people is not None and len(boxes) != people:
        drawn = "1 box" if len(boxes) == 1 else f"{len(boxes)} boxes"
        asked = "1 person" if people == 1 else f"{people} people"
        raise ValueError(
            f"Input 'boxes' has {drawn} and the prompt has {asked}: give one for each, in prompt "
            "order, or none at all"
        )
    return boxes


def read_fronts(text: str) -> tuple[float, ...]:
    """How far in front each box of a text that `read_boxes` takes is: its fifth number, else 0."""
    return tuple(float(row[4]) if len(row) > 4 else 0.0 for row in _rows(text))


def _rows(text: str) -> list:
    if not text.strip():
        return []
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        raise ValueError(
            f"Input 'boxes' must be a list of [x, y, width, height] such as {_EXAMPLE}, "
            "or empty for none"
        )
    return rows


def _box(row: object, number: int) -> Rect:
    if not (
        isinstance(row, list)
        and len(row) in (4, 5)
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in row)
        and all(-1 <= v <= 2 for v in row[:4])  # so no NaN, and nothing beyond what float() holds
    ):
        raise ValueError(
            f"Input 'boxes', box {number}: {_shown(row)} must be four numbers "
            "[x, y, width, height] in parts of the picture, 0 to 1, and may have a fifth: who is in "
            "front has the larger one"
        )
    if not all(-_FRONT <= v <= _FRONT for v in row[4:]):
        raise ValueError(
            f"Input 'boxes', box {number}: {_shown(row)} has a fifth number, how far in front it is, "
            f"that must be from {-_FRONT} to {_FRONT}"
        )
    x, y, width, height = map(float, row[:4])
    inside = x >= -_ROUNDING and y >= -_ROUNDING
    inside = inside and x + width <= 1 + _ROUNDING and y + height <= 1 + _ROUNDING
    if not (inside and width > 0 and height > 0):
        raise ValueError(
            f"Input 'boxes', box {number}: {_shown(row)} must lie in the picture, which goes from 0 "
            "to 1 both ways, and be wider and higher than 0"
        )
    return Rect.sized(max(x, 0.0), max(y, 0.0), width, height, Unit.FRACTIONS)


def _shown(row: object) -> str:
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
