"""Faces, which of several boxes are one face, and tiles that are small enough to see small faces in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..regional.tiles import cover
from ..regions.bounding_box import BoundingBox
from ..regions.rect import Rect

_SAME = 0.4
_INSIDE = 0.7


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points of a face, in pixels of the picture."""

    # `[n,2]`: eyes, nose and mouth corners in the order of align.TEMPLATE, all 5 or the first 3.
    anchors: np.ndarray
    # `[m,2]`: all of a detector's points; point i of one face is point i of any other with as many.
    dense: np.ndarray | None = None


@dataclass(frozen=True)
class Face:
    # In pixels: brows to chin, ear to ear.
    box: Rect
    score: float = 1.0
    # None where only the box is known.
    landmarks: Landmarks | None = None

    @staticmethod
    def at(left: float, top: float, right: float, bottom: float, score: float = 1.0) -> "Face":
        return Face(Rect.pixels(left, top, right, bottom), score)

    @staticmethod
    def of(box: BoundingBox) -> "Face":
        return Face(box.rect, box.score)

    def with_landmarks(self, landmarks: Landmarks | None) -> "Face":
        return replace(self, landmarks=landmarks)


def same_face(a: Rect, b: Rect) -> bool:
    """IoU above 0.4, or one box mostly inside the other (an eye and nose taken for a face)."""
    shared = a.shared_area(b)
    return shared > _SAME * (a.area + b.area - shared) or shared > _INSIDE * min(a.area, b.area)


def distinct(faces: Iterable[Face]) -> list[Face]:
    """Non-maximum suppression: of boxes of one face the most certain, then the largest; the result
    left to right."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: (-f.score, -f.box.side, f.box.left, f.box.top)):
        if not any(same_face(face.box, other.box) for other in kept):
            kept.append(face)
    return left_to_right(kept)


def left_to_right(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: (face.box.centre, face.box.side))


def levels(height: int, width: int, smallest: int) -> list[int]:
    """Tile sides, from the whole picture down by halves while they are above `smallest` px."""
    sides = [max(height, width)]
    while sides[-1] > smallest:
        sides.append(max(smallest, (sides[-1] + 1) // 2))
    return sides


def tiles(height: int, width: int, smallest: int) -> Iterator[Rect]:
    """Every level's tiles; they overlap by a third, so that a face up to a third of a tile lies
    whole in one, and larger ones do one level up."""
    for side in levels(height, width, smallest):
        yield from cover(height, width, side, side // 3)


def is_cut(face: Rect, tile: Rect, height: int, width: int) -> bool:
    """Whether a border of the tile, not of the picture, seems to cut the face."""
    margin = 0.04 * face.side
    return (
        (tile.left > 0 and face.left < tile.left + margin)
        or (tile.top > 0 and face.top < tile.top + margin)
        or (tile.right < width and face.right > tile.right - margin)
        or (tile.bottom < height and face.bottom > tile.bottom - margin)
    )
