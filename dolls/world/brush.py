"""A brush for outlined flat shapes, and the outlines of emblems. Points and lengths are pixels of
the finished picture."""

import math
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw

from .poses import Point
from .words import OUTLINE, Colour


class Brush:
    """Paints on `image`, which is `scale` times the finished picture.

    With `flat` everything becomes that one value, which makes a mask. `outline` is the width of
    outlines; whoever paints sets it.
    """

    def __init__(self, image: Image.Image, scale: int, flat: int | None = None):
        self.image, self.scale, self.flat, self.outline = image, scale, flat, 1.0
        self.canvas = ImageDraw.Draw(image)

    def ink(self, colour: Colour) -> Colour | int:
        return colour if self.flat is None else self.flat

    def disc(self, centre: Point, rx: float, colour: Colour, ry: float | None = None) -> None:
        (x, y), ry, k = centre, rx if ry is None else ry, self.scale
        box = ((x - rx) * k, (y - ry) * k, (x + rx) * k, (y + ry) * k)
        self.canvas.ellipse(box, fill=self.ink(colour))

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        (x, y), r, k = centre, radius, self.scale
        box = ((x - r) * k, (y - r) * k, (x + r) * k, (y + r) * k)
        self.canvas.ellipse(box, outline=self.ink(colour), width=max(2, round(width * k)))

    def dome(self, box: tuple[float, float, float, float], colour: Colour) -> None:
        """The upper half of the ellipse in `box`."""
        corners = tuple(v * self.scale for v in box)
        self.canvas.pieslice(corners, 180, 360, fill=self.ink(colour))

    def polygon(self, points: Sequence[Point], colour: Colour, outlined: bool = False) -> None:
        corners = [(x * self.scale, y * self.scale) for x, y in points]
        if outlined:
            width = max(2, round(2 * self.outline * self.scale))
            line = corners + corners[:2]
            self.canvas.line(line, fill=self.ink(OUTLINE), width=width, joint="curve")
        self.canvas.polygon(corners, fill=self.ink(colour))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        line = [(x * self.scale, y * self.scale) for x, y in points]
        thick = max(1, round(width * self.scale))
        self.canvas.line(line, fill=self.ink(colour), width=thick, joint="curve")

    def blob(
        self, chains: Sequence[tuple[Sequence[Point], Sequence[float]]], colour: Colour
    ) -> None:
        """The union of chains of (points, radii), thick lines with round ends, in one outline."""
        for grown, ink in ((self.outline, OUTLINE), (0.0, colour)):
            for points, radii in chains:
                knots = list(zip(points, radii, strict=True))
                for (p, r), (q, s) in pairwise(knots):
                    self._bone(p, r + grown, q, s + grown, ink)

    def knob(self, centre: Point, radius: float, colour: Colour) -> None:
        """An outlined disc."""
        self.blob([([centre] * 2, [radius] * 2)], colour)

    def _bone(self, p: Point, r: float, q: Point, s: float, colour: Colour) -> None:
        length = math.hypot(q[0] - p[0], q[1] - p[1]) or 1.0
        nx, ny = (q[1] - p[1]) / length, (p[0] - q[0]) / length
        self.disc(p, r, colour)
        self.disc(q, s, colour)
        corners = [
            (p[0] + nx * r, p[1] + ny * r),
            (q[0] + nx * s, q[1] + ny * s),
            (q[0] - nx * s, q[1] - ny * s),
            (p[0] - nx * r, p[1] - ny * r),
        ]
        self.polygon(corners, colour)


_CROSS = (
    (-0.36, -1), (0.36, -1), (0.36, -0.36), (1, -0.36), (1, 0.36), (0.36, 0.36), (0.36, 1),
    (-0.36, 1), (-0.36, 0.36), (-1, 0.36), (-1, -0.36), (-0.36, -0.36),
)  # fmt: skip
_BOLT = ((0.25, -1.1), (-0.75, 0.2), (-0.1, 0.2), (-0.3, 1.1), (0.75, -0.3), (0.1, -0.3))


def emblem(name: str, centre: Point, radius: float) -> list[Point]:
    """Its outline; of ring and moon the full disc, for the painter to cut."""
    if name == "cross":
        return [(centre[0] + x * radius, centre[1] + y * radius) for x, y in _CROSS]
    if name == "bolt":
        return [(centre[0] + x * radius, centre[1] + y * radius) for x, y in _BOLT]
    if name == "heart":
        return [_heart(i * 2 * math.pi / 24, centre, radius) for i in range(24)]
    spikes = [1.1, 0.48] * 5 if name == "star" else [1.0] * 20
    angles = [-math.pi / 2 + i * 2 * math.pi / len(spikes) for i in range(len(spikes))]
    return [
        (centre[0] + radius * far * math.cos(angle), centre[1] + radius * far * math.sin(angle))
        for far, angle in zip(spikes, angles, strict=True)
    ]


def _heart(a: float, centre: Point, radius: float) -> Point:
    up = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
    x = radius * 0.065 * 16 * math.sin(a) ** 3
    return centre[0] + x, centre[1] - radius * 0.065 * up
