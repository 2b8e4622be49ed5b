"""People's places, and how other nodes get them: core's boxes and elements, SEGS, text, masks."""

from __future__ import annotations

import json
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from .boxes import box_masks
from .rect import Rect

GRID = 1000
"""Of elements: thousandths of the picture."""

# Impact Pack's own type has these fields, and its nodes ask for no other.
SEG = namedtuple(
    "SEG",
    "cropped_image cropped_mask confidence crop_region bbox label control_net_wrapper",
    defaults=[None],
)


class Size(NamedTuple):
    """Of the picture, in pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Place:
    """Where somebody stands: `rect` in fractions of the picture, a soft mask `[H,W]` where the form
    has one, and what the form says of them."""

    rect: Rect
    words: str = ""
    mask: torch.Tensor | None = None


def as_bounding_boxes(places: Sequence[Place], size: Size) -> list[list[dict]]:
    """Core's BOUNDING_BOX, one picture; what is said of somebody goes along as core's canvas has it."""
    boxes = []
    for place in places:
        rect = place.rect.rounded(width=size.width, height=size.height)
        box: dict[str, Any] = {
            "x": rect.left, "y": rect.top, "width": rect.width, "height": rect.height
        }  # fmt: skip
        if place.words:
            box["metadata"] = {"type": "obj", "text": "", "desc": place.words, "palette": []}
        boxes.append(box)
    return [boxes] if boxes else []


def as_elements(places: Sequence[Place]) -> list[dict]:
    """Core's captioned elements."""
    return [
        {
            "type": "obj",
            "bbox": [round(v * GRID) for v in (r.top, r.left, r.bottom, r.right)],
            "desc": place.words,
        }
        for place in places
        for r in [place.rect]
    ]


def masks_of(places: Sequence[Place], size: Size, feather: float) -> torch.Tensor:
    """`[N,H,W]` of the picture's size: masks as they are, boxes with a soft border of `feather` parts
    of the picture; one empty mask where there is nobody."""
    if not places:
        return torch.zeros(1, size.height, size.width)
    drawn = box_masks([place.rect for place in places], feather)
    return torch.cat(
        [
            _sized(p.mask if p.mask is not None else d, size)
            for p, d in zip(places, drawn, strict=True)
        ]
    )


def _sized(mask: torch.Tensor, size: Size) -> torch.Tensor:
    if mask.shape == (size.height, size.width):
        return mask[None]
    return F.interpolate(mask[None, None], (size.height, size.width), mode="bilinear")[0]


def text_of(places: Sequence[Place], scene: str) -> str:
    """The scene, its common part, and a part per place: the text of BreakRegionalPrompt."""
    parts = scene.strip() if "BREAK" in scene.split() else f"{scene.strip()}\nBREAK"
    for place in places:
        # Words of others may not open a part of their own.
        words = " ".join(word for word in place.words.split() if word != "BREAK")
        parts += f"\nBREAK {words or 'a person'}"
    return parts


def as_segs(places: Sequence[Place], masks: torch.Tensor) -> tuple:
    """SEGS of Impact Pack, from the places and their masks `[N,H,W]`."""
    height, width = masks.shape[1:]
    segs = []
    for place, mask in zip(places, masks, strict=True):
        rect = place.rect.rounded(width=width, height=height)
        edges = [int(v) for v in (rect.left, rect.top, rect.right, rect.bottom)]
        left, top, right, bottom = edges
        soft = mask[top:bottom, left:right].cpu().numpy()
        segs.append(SEG(None, soft, 1.0, edges, edges, place.words or "person"))
    return (height, width), segs


def as_text(places: Sequence[Place]) -> str:
    """As the input `boxes` of BreakRegionalPrompt reads it."""
    rows = [
        [round(v, 4) for v in (r.left, r.top, r.width, r.height)] for r in (p.rect for p in places)
    ]
    return json.dumps(rows) if rows else ""
