"""Faces as boxes, which of several boxes are one face, and tiles that are small enough to see
small faces in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..regional.tiles import Tile, cover

_SAME = 0.4
_INSIDE = 0.7


@dataclass(frozen=True)
class Face:
    """Pixels of the picture, right and bottom exclusive: brows to chin, ear to ear."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def side(self) -> float:
        return max(self.width, self.height)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def clipped(self, width: int, height: int) -> Face:
        return Face(
            min(max(self.left, 0.0), width),
            min(max(self.top, 0.0), height),
            max(min(self.right, width), 0.0),
            max(min(self.bottom, height), 0.0),
            self.score,
        )

    def in_picture(self, tile: Tile, scale: float) -> Face:
        """A box found in a view of `tile` that was enlarged by `scale`."""
        left, top = tile.left + self.left / scale, tile.top + self.top / scale
        return Face(left, top, left + self.width / scale, top + self.height / scale, self.score)


def overlap(a: Face, b: Face) -> float:
    """Pixels that both cover."""
    across = min(a.right, b.right) - max(a.left, b.left)
    down = min(a.bottom, b.bottom) - max(a.top, b.top)
    return max(across, 0.0) * max(down, 0.0)


def same_face(a: Face, b: Face) -> bool:
    """IoU above 0.4, or one box mostly inside the other (an eye and nose taken for a face)."""
    shared = overlap(a, b)
    areas = a.width * a.height, b.width * b.height
    union = sum(areas) - shared
    return shared > _SAME * union or shared > _INSIDE * min(areas)


def distinct(faces: Iterable[Face]) -> list[Face]:
    """Non-maximum suppression: of boxes of one face the most certain, then the largest; the result
    left to right."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: (-f.score, -f.side, f.left, f.top)):
        if not any(same_face(face, other) for other in kept):
            kept.append(face)
    return sorted(kept, key=lambda f: (f.centre, f.side))


def levels(height: int, width: int, smallest: int) -> list[int]:
    """Tile sides, from the whole picture down by halves while they are above `smallest` px."""
    sides = [max(height, width)]
    while sides[-1] > smallest:
        sides.append(max(smallest, (sides[-1] + 1) // 2))
    return sides


def tiles(height: int, width: int, smallest: int) -> Iterator[Tile]:
    """Every level's tiles; they overlap by a third, so that a face up to a third of a tile lies
    whole in one, and larger ones do one level up."""
    for side in levels(height, width, smallest):
        yield from cover(height, width, side, side // 3)


def is_cut(face: Face, tile: Tile, height: int, width: int) -> bool:
    """Whether a border of the tile, not of the picture, seems to cut the face."""
    margin = 0.04 * face.side
    return (
        (tile.left > 0 and face.left < tile.left + margin)
        or (tile.top > 0 and face.top < tile.top + margin)
        or (tile.right < width and face.right > tile.right - margin)
        or (tile.bottom < height and face.bottom > tile.bottom - margin)
    )


def bounding_boxes(faces: Sequence[Face], labels: Sequence[str]) -> list[dict]:
    """Core's BOUNDING_BOX of one picture."""
    return [
        {
            "x": face.left, "y": face.top, "width": face.width, "height": face.height,
            "label": label, "score": face.score,
        }
        for face, label in zip(faces, labels, strict=True)
    ]  # fmt: skip
