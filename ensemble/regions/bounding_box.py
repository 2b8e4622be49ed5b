"""Core's BOUNDING_BOX: {x, y, width, height} in pixels, with label and score where they are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .rect import Rect, Unit


@dataclass(frozen=True)
class BoundingBox:
    """rect is in pixels."""

    rect: Rect
    label: str = ""
    score: float = 1.0

    def as_core(self) -> dict[str, Any]:
        """As core passes it on; `label` only where there is one."""
        rect, label = self.rect, {"label": self.label} if self.label else {}
        return {
            "x": rect.left, "y": rect.top, "width": rect.width, "height": rect.height,
            **label, "score": self.score,
        }  # fmt: skip


def read_bounding_boxes(value: Any, name: str) -> list[list[BoundingBox]]:
    """The boxes of each picture. Core passes one box, the boxes of one picture, or a list of boxes
    per picture; no list at all is one picture without boxes.

    `name` is the input, for the ValueError where it is none of these.
    """
    rows = value
    if isinstance(value, Mapping):
        rows = [[value]]
    elif isinstance(value, Sequence) and value and all(isinstance(v, Mapping) for v in value):
        rows = [value]
    if not isinstance(rows, Sequence) or not all(isinstance(row, Sequence) for row in rows):
        raise ValueError(f"{name}: expected BOUNDING_BOX, not {value!r}.")
    return [[_read(box, name) for box in row] for row in rows] or [[]]


def _read(box: Any, name: str) -> BoundingBox:
    try:
        x, y, width, height = (float(box[key]) for key in ("x", "y", "width", "height"))
        rect = Rect.sized(x, y, width, height, Unit.PIXELS)
        return BoundingBox(rect, str(box.get("label", "")), float(box.get("score", 1.0)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{name}: a box must have x, y, width and height in pixels, not {box!r}."
        ) from error
