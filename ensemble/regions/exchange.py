"""Boxes of other nodes -> people's places: one entry per form that nodes exchange.

Coordinates of each form, as its owners define them: core's BOUNDING_BOX is {x, y, width, height} in
pixels, with {desc, …} under `metadata`; core's elements (Create Bounding Boxes, prompts of
Ideogram 4) hold `bbox` [top, left, bottom, right] in thousandths of the picture and `desc`;
KJNodes' BBOX is four pixels; Impact Pack's SEGS is ((height, width), [SEG, …]) with soft masks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from .boxes import shown
from .drawn import read_drawn
from .places import GRID, Place, Size
from .rect import Rect, Unit

MOST = 64
"""More boxes are taken for a mistake."""


class Form(NamedTuple):
    """A form in which nodes pass boxes on: how a value of it is known, and how it is read."""

    name: str
    fits: Callable[[Any], bool]
    read: Callable[[Any, Size], list[Place]]


def read_places(value: Any, size: Size, corners: bool = True) -> list[Place]:
    """Of the first picture, in the order given. `corners`: four bare numbers are left, top, right
    and bottom, else left, top, width and height. Raises ValueError that names what is wrong.
    """
    if isinstance(value, str):
        value = _parsed(value)
        if _numbers(value, 4):
            value = [value]
        if isinstance(value, list) and all(_numbers(row, 4) for row in value):
            return [Place(each.rect) for each in read_drawn(json.dumps(value), None)]
    if _bare(value):
        rows = [value] if _numbers(value, 4) else value
        value = [_from_bare(row, corners) for row in rows]
    for form in FORMS:
        if form.fits(value):
            places = form.read(value, size)
            if len(places) > MOST:
                raise ValueError(f"Input 'boxes' has {len(places)} boxes; {MOST} is the most.")
            return places
    known = ", ".join(form.name for form in FORMS)
    raise ValueError(
        f"Input 'boxes' holds {shown(value)}. Known are {known}, and text [[x, y, width, height], …] "
        "in parts of the picture."
    )


def _parsed(text: str) -> Any:
    if not text.strip():
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Input 'boxes' is text, and no JSON: {shown(text)}") from error
    # A whole prompt of Ideogram 4, as KJNodes' builder writes it.
    for key in ("compositional_deconstruction", "elements"):
        if isinstance(value, Mapping) and key in value:
            value = value[key]
    return value


def _numbers(value: Any, count: int) -> bool:
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != count:
        return False
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)


def _bare(value: Any) -> bool:
    if _numbers(value, 4):
        return True
    return isinstance(value, list) and bool(value) and all(_numbers(row, 4) for row in value)


def _from_bare(row: Sequence[float], corners: bool) -> dict[str, float]:
    left, top, third, fourth = row
    if corners:
        left, third = min(left, third), max(left, third)
        top, fourth = min(top, fourth), max(top, fourth)
        third, fourth = third - left, fourth - top
    return {"x": left, "y": top, "width": third, "height": fourth}


def _first(value: Any) -> list[Mapping]:
    """The boxes of the first picture: core passes one, a list, or a list per picture."""
    if isinstance(value, Mapping):
        return [value]
    if value and isinstance(value[0], list | tuple):
        return list(value[0])
    return list(value)


def _holds(key: str) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        if not isinstance(value, Mapping | list):
            return False
        rows = _first(value)
        return all(isinstance(row, Mapping) and key in row for row in rows)

    return fits


def _placed(rect: Rect, size: Size, number: int, words: str = "", mask=None) -> Place:
    """In fractions, from pixels; what stands out of the picture is cut off."""
    if not all(map(math.isfinite, (rect.left, rect.top, rect.right, rect.bottom))):
        raise ValueError(f"Input 'boxes', box {number} has numbers that are none: {rect}.")
    inside = rect.clipped(width=size.width, height=size.height)
    if inside.width <= 0 or inside.height <= 0:
        raise ValueError(
            f"Input 'boxes', box {number} lies outside the picture of {size.width}x{size.height}: "
            "set width and height to the size that the boxes were drawn for."
        )
    return Place(inside.as_fractions(width=size.width, height=size.height), words, mask)


def _from_boxes(value: Any, size: Size) -> list[Place]:
    places = []
    for number, box in enumerate(_first(value), 1):
        try:
            x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Input 'boxes', box {number} must have x, y, width and height, not {shown(box)}"
            ) from error
        about = box.get("metadata")
        words = about.get("desc", "") if isinstance(about, Mapping) else box.get("label", "")
        rect = Rect.sized(x, y, width, height, Unit.PIXELS)
        places.append(_placed(rect, size, number, str(words)))
    return places


def _from_elements(value: Any, size: Size) -> list[Place]:
    places = []
    for number, element in enumerate(_first(value), 1):
        if element.get("type") == "text":  # lettering in the picture, and nobody
            continue
        if not _numbers(element["bbox"], 4):
            raise ValueError(
                f"Input 'boxes', element {number}: bbox must be [top, left, bottom, right] in "
                f"thousandths of the picture, not {shown(element['bbox'])}"
            )
        if not all(0 <= v <= GRID for v in element["bbox"]):
            raise ValueError(
                f"Input 'boxes', element {number}: bbox {shown(element['bbox'])} goes beyond 0 to "
                f"{GRID}, so it is in pixels. Let its node write thousandths of the picture "
                "(normalized), or link its bounding boxes instead."
            )
        top, left, bottom, right = element["bbox"]
        across, down = size.width / GRID, size.height / GRID
        rect = Rect.pixels(
            min(left, right) * across, min(top, bottom) * down,
            max(left, right) * across, max(top, bottom) * down,
        )  # fmt: skip
        places.append(_placed(rect, size, number, str(element.get("desc", ""))))
    return places


def _is_segs(value: Any) -> bool:
    return (
        isinstance(value, Sequence) and len(value) == 2 and _numbers(value[0], 2)
        and all(hasattr(seg, "crop_region") for seg in value[1])
    )  # fmt: skip


def _from_segs(value: Any, size: Size) -> list[Place]:
    (height, width), segs = value
    places = []
    for number, seg in enumerate(segs, 1):
        left, top, right, bottom = map(int, seg.crop_region)
        mask = torch.zeros(int(height), int(width))
        soft = torch.as_tensor(seg.cropped_mask).float().reshape(-1, right - left)
        mask[top:bottom, left:right] = soft[: bottom - top]
        rect = Rect.pixels(*map(float, seg.bbox))
        places.append(_placed(rect, Size(int(width), int(height)), number, str(seg.label), mask))
    return places


def _is_mask(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim in (2, 3)


def _from_masks(value: torch.Tensor, size: Size) -> list[Place]:
    masks = value if value.ndim == 3 else value[None]
    places = []
    for number, mask in enumerate(masks, 1):
        rows, columns = (torch.nonzero((mask > 0.5).any(axis)).flatten() for axis in (1, 0))
        if not len(rows):
            raise ValueError(f"Input 'boxes', mask {number} is empty: nobody can stand there.")
        edges = columns[0].item(), rows[0].item(), columns[-1].item() + 1, rows[-1].item() + 1
        own = Size(mask.shape[1], mask.shape[0])
        places.append(_placed(Rect.pixels(*map(float, edges)), own, number, mask=mask.float()))
    return places


def _is_people(value: Any) -> bool:
    return hasattr(value, "people") and hasattr(value, "masks")


def _from_people(value: Any, size: Size) -> list[Place]:
    if not value.people:
        return []
    texts = [person.positive.text for person in value.people]
    places = _from_masks(value.masks.cpu(), size)
    return [Place(each.rect, text, each.mask) for each, text in zip(places, texts, strict=True)]


FORMS = (
    Form("PEOPLE", _is_people, _from_people),
    Form("masks", _is_mask, _from_masks),
    Form("SEGS", _is_segs, _from_segs),
    Form("elements (bbox, desc)", _holds("bbox"), _from_elements),
    Form("BOUNDING_BOX (x, y, width, height)", _holds("x"), _from_boxes),
)
