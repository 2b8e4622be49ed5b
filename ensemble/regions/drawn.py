"""Regions drawn by hand: the text of the input `boxes` -> boxes, ellipses and outlines -> masks.

A JSON list with an item per person in prompt order, in fractions of the picture: a box
`[x, y, width, height]`, with how far in front it is as a fifth number; `{"ellipse": [x, y, width,
height]}`; `{"lasso": [[x, y], …]}`, both with `"front"` where it matters.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .boxes import box_masks, read_box, shown
from .capsules import segment_distance
from .depth import in_front
from .layout import SIZE
from .rect import Rect, Unit

Outline = tuple[tuple[float, float], ...]
_EXAMPLE = "[[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]"
_FRONT = 32  # levels of depth that a region can have
_MOST = 400  # points of an outline
_ROUND = 72  # corners of an ellipse: no further from it than a thousandth of its size


@dataclass(frozen=True)
class Drawn:
    """`rect` is around it; `outline` is None for a box. A larger `front` wins where they overlap."""

    rect: Rect
    outline: Outline | None = None
    front: float = 0.0


def read_drawn(text: str, people: int | None) -> list[Drawn]:
    """One for each of `people` persons in prompt order; empty text is none. With `people` None any
    number will do. Raises ValueError that names what is wrong.
    """
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
    drawn = [_read(row, f"Input 'boxes', box {number}") for number, row in enumerate(rows, 1)]
    if rows and people is not None and len(drawn) != people:
        has = "1 box" if len(drawn) == 1 else f"{len(drawn)} boxes"
        asked = "1 person" if people == 1 else f"{people} people"
        raise ValueError(
            f"Input 'boxes' has {has} and the prompt has {asked}: give one for each, in prompt "
            "order, or none at all"
        )
    return drawn


def _read(row: Any, name: str) -> Drawn:
    if isinstance(row, list) and len(row) == 5:
        return Drawn(read_box(row[:4], name), None, _front(row[4], "a fifth number", name))
    if not isinstance(row, dict):
        return Drawn(read_box(row, name))
    kinds = [kind for kind in _KINDS if kind in row]
    if len(kinds) != 1 or set(row) - {*kinds, "front"}:
        raise ValueError(
            f"{name}: {shown(row)} must have one of {' and '.join(_KINDS)}, and may have front"
        )
    drawn = _KINDS[kinds[0]](row[kinds[0]], name)
    return Drawn(drawn.rect, drawn.outline, _front(row.get("front", 0), "front", name))


def _front(value: Any, what: str, name: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and -_FRONT <= value <= _FRONT):
        raise ValueError(
            f"{name}: {shown(value)} is {what}, how far in front it is, and must be from {-_FRONT} to "
            f"{_FRONT}"
        )
    return float(value)


def _ellipse(value: Any, name: str) -> Drawn:
    rect = read_box(value, f"{name}, ellipse")
    (x, y), turns = rect.centre, [2 * math.pi * i / _ROUND for i in range(_ROUND)]
    outline = tuple(
        (x + math.cos(turn) * rect.width / 2, y + math.sin(turn) * rect.height / 2)
        for turn in turns
    )
    return Drawn(rect, outline)


def _lasso(value: Any, name: str) -> Drawn:
    def is_point(point: Any) -> bool:
        return (
            isinstance(point, list)
            and len(point) == 2
            and all(isinstance(v, int | float) and not isinstance(v, bool) for v in point)
            and all(0 <= v <= 1 for v in point)
        )

    if not (isinstance(value, list) and 3 <= len(value) <= _MOST and all(map(is_point, value))):
        raise ValueError(
            f"{name}, lasso: {shown(value)} must be 3 to {_MOST} points [x, y] in parts of the "
            "picture, 0 to 1"
        )
    outline = tuple((float(x), float(y)) for x, y in value)
    (left, *_, right), (top, *_, bottom) = (sorted(axis) for axis in zip(*outline, strict=True))
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in _edges(outline)) / 2
    if abs(area) < 1e-5:
        raise ValueError(f"{name}, lasso: {shown(value)} encloses nothing")
    return Drawn(Rect(left, top, right, bottom, Unit.FRACTIONS), outline)


_KINDS: dict[str, Callable[[Any, str], Drawn]] = {"ellipse": _ellipse, "lasso": _lasso}


def _edges(outline: Outline) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return list(zip(outline, outline[1:] + outline[:1], strict=True))


def drawn_masks(drawn: Sequence[Drawn], feather: float) -> torch.Tensor:
    """Masks `[N, SIZE, SIZE]` in 0..1, stretched over whatever is sampled; where they overlap, who is
    in front has the place. `feather` as in `box_masks`."""
    masks = [
        box_masks([each.rect], feather)[0]
        if each.outline is None
        else outline_mask(each.outline, feather)
        for each in drawn
    ]
    return in_front(torch.stack(masks), [each.front for each in drawn])


def outline_mask(outline: Outline, feather: float) -> torch.Tensor:
    """`[SIZE, SIZE]`: a linear ramp of the width `feather` across the outline, 1 within. Along the
    picture's edge there is none. Inside is what a ray crosses an odd number of times to leave."""
    grid = (torch.arange(SIZE) + 0.5) / SIZE
    far = torch.full((SIZE, SIZE), math.inf)
    inside = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    for (ax, ay), (bx, by) in _edges(outline):
        if not any(a == b and a in (0.0, 1.0) for a, b in ((ax, bx), (ay, by))):
            edge = torch.tensor([[ax, ay, bx, by]])
            far = torch.minimum(far, segment_distance(edge, grid, grid)[0])
        if ay != by:
            rows = (grid >= min(ay, by)) & (grid < max(ay, by))
            crossing = ax + (grid - ay) * (bx - ax) / (by - ay)
            inside ^= rows[:, None] & (grid[None] < crossing[:, None])
    signed = torch.where(inside, far, -far)
    return (signed / max(feather, 1e-6) + 0.5).clamp(0, 1)
