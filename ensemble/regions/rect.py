"""The one rectangle of this pack: boxes that people draw, heads, faces, crops and tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import torch


class Unit(str, Enum):
    """What the numbers of a Rect count."""

    FRACTIONS = "fractions of the canvas"
    PIXELS = "pixels"


@dataclass(frozen=True)
class Rect:
    """An upright part of a canvas, measured from its left top corner; right and bottom are
    exclusive.

    The canvas is a picture, a mask or a latent. A Rect in fractions (0..1) fits every one of them;
    a Rect in pixels belongs to a size that its owner knows. Build one with `Rect.fractions`,
    `Rect.pixels` or `Rect.sized`. ValueError where rectangles of unlike units meet.

    Rounding, wherever a Rect meets whole pixels (`rounded`, `slices`, `cut`): each edge goes to the
    nearest pixel, halves to the right and down (`floor(x + 0.5)`), so that neighbours which share
    an edge go on sharing it. A Rect never leaves the picture and keeps at least one pixel.
    """

    left: float
    top: float
    right: float
    bottom: float
    unit: Unit

    @staticmethod
    def fractions(left: float, top: float, right: float, bottom: float) -> Rect:
        """Edges in fractions of the canvas, 0..1."""
        return Rect(left, top, right, bottom, Unit.FRACTIONS)

    @staticmethod
    def pixels(left: float, top: float, right: float, bottom: float) -> Rect:
        """Edges in pixels, whole or not."""
        return Rect(left, top, right, bottom, Unit.PIXELS)

    @staticmethod
    def sized(left: float, top: float, width: float, height: float, unit: Unit) -> Rect:
        """From its left top corner and its size."""
        return Rect(left, top, left + width, top + height, unit)

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def side(self) -> float:
        """The longer of width and height."""
        return max(self.width, self.height)

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """x, y."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def moved(self, x: float, y: float) -> Rect:
        """Shifted to the right by `x` and down by `y`, in its own unit."""
        return replace(
            self,
            left=self.left + x, top=self.top + y, right=self.right + x, bottom=self.bottom + y,
        )  # fmt: skip

    def scaled(self, x: float, y: float) -> Rect:
        """All edges times `x` across and `y` down: the same part of a canvas of another size."""
        return replace(
            self,
            left=self.left * x, top=self.top * y, right=self.right * x, bottom=self.bottom * y,
        )  # fmt: skip

    def clipped(self, *, width: float, height: float) -> Rect:
        """The part inside a picture of that many pixels; of no size where none is."""
        self._require(Unit.PIXELS)
        return replace(
            self,
            left=min(max(self.left, 0.0), width), top=min(max(self.top, 0.0), height),
            right=max(min(self.right, width), 0.0), bottom=max(min(self.bottom, height), 0.0),
        )  # fmt: skip

    def shared_area(self, other: Rect) -> float:
        """The area that both cover."""
        other._require(self.unit)
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)

    def as_fractions(self, *, width: int, height: int) -> Rect:
        """This Rect in fractions of a canvas of that many pixels."""
        if self.unit is Unit.FRACTIONS:
            return self
        return replace(self.scaled(1 / width, 1 / height), unit=Unit.FRACTIONS)

    def as_pixels(self, *, width: int, height: int) -> Rect:
        """This Rect in pixels of a canvas of that many, not rounded."""
        if self.unit is Unit.PIXELS:
            return self
        return replace(self.scaled(width, height), unit=Unit.PIXELS)

    def rounded(self, *, width: int, height: int) -> Rect:
        """In whole pixels of a canvas of that many, by the rule of this class."""
        rows, columns = self.slices(width=width, height=height)
        return Rect.pixels(columns.start, rows.start, columns.stop, rows.stop)

    def slices(self, *, width: int, height: int) -> tuple[slice, slice]:
        """(rows, columns) of the whole pixels that it covers on a canvas of that size."""
        exact = self.as_pixels(width=width, height=height)
        return _span(exact.top, exact.bottom, height), _span(exact.left, exact.right, width)

    def cut(self, field: torch.Tensor) -> torch.Tensor:
        """This part of `[..., H, W]`, a view."""
        height, width = field.shape[-2:]
        rows, columns = self.slices(width=width, height=height)
        return field[..., rows, columns]

    def _require(self, unit: Unit) -> None:
        if self.unit is not unit:
            raise ValueError(f"{self} is in {self.unit.value} where {unit.value} are needed.")


WHOLE = Rect.fractions(0.0, 0.0, 1.0, 1.0)
"""The whole canvas."""


def _span(start: float, stop: float, length: int) -> slice:
    first = min(max(math.floor(start + 0.5), 0), length - 1)
    last = min(max(math.floor(stop + 0.5), first + 1), length)
    return slice(first, last)
