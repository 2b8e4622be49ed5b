"""The eight places: what is painted behind the people."""

import math
import random
from collections.abc import Callable

from .brush import Brush
from .words import Colour, mix

_WHITE: Colour = (250, 250, 246)


class Ground:
    """A brush with what the places have in common: the picture's size, a horizon, random numbers.

    horizon: y in pixels.
    """

    def __init__(self, brush: Brush, size: tuple[int, int], rng: random.Random):
        self.brush, self.rng = brush, rng
        self.width, self.height = size
        self.horizon = self.height * rng.uniform(0.5, 0.64)

    def band(self, top: float, bottom: float, colour: Colour) -> None:
        w = self.width
        self.brush.polygon([(0, top), (w, top), (w, bottom), (0, bottom)], colour)

    def hills(self, y: float, amplitude: float, colour: Colour, waves: float = 1.5) -> None:
        w, h = self.width, self.height
        phase = self.rng.uniform(0, 6.3)
        frequency = self.rng.uniform(0.7, 1.3) * waves * 2 * math.pi / w
        crest = [
            (float(x), y + amplitude * math.sin(phase + frequency * x)) for x in range(0, w + 9, 8)
        ]
        self.brush.polygon([*crest, (w, h), (0, h)], colour)

    def sun(self, colour: Colour, radius: float, y: float) -> None:
        self.brush.disc((self.rng.uniform(0.12, 0.88) * self.width, y), radius, colour)

    def cloud(self, colour: Colour) -> None:
        u = self.rng.uniform
        x, y, r = u(0, self.width), u(0.05, 0.28) * self.height, u(9, 16)
        for dx, k in ((-1.2, 0.7), (0, 1), (1.2, 0.75)):
            self.brush.disc((x + dx * r, y), r * k * 1.2, colour, r * k * 0.7)

    def tree(self, x: float, y: float, size: float, green: Colour, snow: bool = False) -> None:
        trunk, s, polygon = size * 0.09, size, self.brush.polygon
        top = y - s * 0.4
        polygon([(x - trunk, y), (x + trunk, y), (x + trunk, top), (x - trunk, top)], (104, 74, 52))
        for i in range(3):
            half, foot = s * (0.42 - 0.09 * i), y - s * (0.25 + 0.26 * i)
            tip = (x, foot - s * 0.42)
            polygon([(x - half, foot), (x + half, foot), tip], green)
            if snow:
                line = foot - s * 0.25
                polygon([(x - half * 0.4, line), (x + half * 0.4, line), tip], (250, 252, 255))


def _beach(g: Ground) -> None:
    u, b = g.rng.uniform, g.brush
    g.band(0, g.horizon, (150, 214, 244))
    g.sun((255, 236, 140), u(14, 22), u(0.08, 0.25) * g.height)
    g.cloud((246, 252, 255))
    g.band(g.horizon - u(18, 40), g.horizon + 8, (52, 142, 190))
    g.hills(g.horizon + 6, 4, (236, 250, 250), 3)
    g.hills(g.horizon + 11, 4, (244, 218, 164), 3)
    x = g.rng.choice((u(0, 0.2), u(0.8, 1.0))) * g.width
    y = g.horizon + u(15, 40)
    b.line([(x, y), (x, y - 60)], 2.5, _WHITE)
    parasol = g.rng.choice(((226, 84, 74), _WHITE, (70, 130, 190)))
    b.dome((x - 32, y - 84, x + 32, y - 30), parasol)


def _forest(g: Ground) -> None:
    u = g.rng.uniform
    g.band(0, g.height, (158, 206, 168))
    for i in range(7):
        x, y = (i + u(0.1, 0.9)) * g.width / 7, g.horizon + u(-6, 6)
        g.tree(x, y, u(110, 170), (88, 156, 112))
    g.hills(g.horizon, 5, (84, 130, 72))
    for _ in range(4):
        x = g.rng.choice((u(-0.02, 0.28), u(0.72, 1.02))) * g.width
        y = g.horizon + u(10, 50)
        g.tree(x, y, u(130, 200), (40, 102, 68))


def _night_city(g: Ground) -> None:
    u = g.rng.uniform
    g.band(0, g.height, (26, 30, 68))
    for _ in range(16):
        centre = u(0, g.width), u(0, 0.5) * g.height
        g.brush.disc(centre, u(0.6, 1.2), (220, 226, 250))
    g.sun((246, 242, 210), u(11, 18), u(0.08, 0.22) * g.height)
    x = -u(0, 20)
    while x < g.width:
        wide = u(28, 54)
        _house(g, x, wide, g.horizon - u(30, 150) * g.height / 384)
        x += wide
    g.band(g.horizon, g.height, (74, 76, 92))
    g.band(g.horizon, g.horizon + 5, (116, 118, 134))


def _house(g: Ground, x: float, wide: float, top: float) -> None:
    wall = g.rng.choice(((52, 56, 104), (66, 62, 116), (44, 46, 88)))
    h = g.height
    g.brush.polygon([(x, top), (x + wide, top), (x + wide, h), (x, h)], wall)
    for wy in range(int(top) + 7, int(g.horizon) - 4, 13):
        for wx in range(int(x) + 5, int(x + wide) - 7, 11):
            if g.rng.random() < 0.5:
                pane = [(wx, wy), (wx + 5, wy), (wx + 5, wy + 7), (wx, wy + 7)]
                g.brush.polygon(pane, (250, 216, 120))


def _desert(g: Ground) -> None:
    u, green = g.rng.uniform, (82, 140, 84)
    g.band(0, g.height, (250, 226, 178))
    g.sun((255, 250, 226), u(16, 24), u(0.08, 0.25) * g.height)
    g.hills(g.horizon - 22, 14, (228, 160, 98))
    g.hills(g.horizon + 4, 9, (240, 186, 116))
    g.hills(g.horizon + 50, 10, (246, 200, 134))
    for _ in range(2):
        x = g.rng.choice((u(0.02, 0.24), u(0.76, 0.98))) * g.width
        y, s = g.horizon + u(10, 40), u(0.8, 1.2)
        left, right = x - 15 * s, x + 14 * s
        for arm in (
            [(x, y), (x, y - 62 * s)],
            [(x, y - 24 * s), (left, y - 24 * s), (left, y - 44 * s)],
            [(x, y - 32 * s), (right, y - 32 * s), (right, y - 50 * s)],
        ):
            g.brush.line(arm, 8 * s, green)
            g.brush.disc(arm[-1], 4 * s, green)


def _snow(g: Ground) -> None:
    u = g.rng.uniform
    g.band(0, g.height, (198, 218, 238))
    g.hills(g.horizon - 18, 14, (222, 234, 246))
    for _ in range(5):
        x, y = u(0, 1) * g.width, g.horizon + u(0, 18)
        g.tree(x, y, u(60, 110), (70, 120, 116), True)
    g.hills(g.horizon + 10, 7, (246, 250, 255))
    for _ in range(45):
        flake = u(0, g.width), u(0, g.height)
        g.brush.disc(flake, u(1.2, 2.3), (255, 255, 255))


def _meadow(g: Ground) -> None:
    u = g.rng.uniform
    g.band(0, g.height, (176, 222, 248))
    for _ in range(3):
        g.cloud((255, 255, 255))
    g.hills(g.horizon - 12, 14, (150, 204, 112))
    g.hills(g.horizon + 14, 7, (124, 188, 92))
    for _ in range(34):
        flower = u(0, g.width), u(g.horizon + 26, g.height)
        g.brush.disc(flower, 2.8, g.rng.choice(((255, 255, 250), (252, 222, 100), (238, 120, 110))))


def _room(g: Ground) -> None:
    u, b, w, h = g.rng.uniform, g.brush, g.width, g.height
    wall = g.rng.choice(((236, 222, 200), (206, 222, 214), (224, 208, 216)))
    g.band(0, h, wall)
    for i in range(0, w, 32):
        b.polygon([(i, 0), (i + 14, 0), (i + 14, h), (i, h)], mix(wall, (255, 255, 255), 0.35))
    floor = h * u(0.74, 0.82)
    g.band(floor - 7, floor, (250, 246, 240))
    g.band(floor, h, (176, 126, 88))
    for y in range(int(floor), h, 15):
        b.line([(0, y), (w, y)], 1.2, (150, 104, 72))
    x = g.rng.choice((u(0.05, 0.15), u(0.6, 0.7))) * w
    y = u(0.08, 0.16) * h
    b.outline = 3.0
    b.polygon([(x, y), (x + 66, y), (x + 66, y + 78), (x, y + 78)], (170, 216, 240), True)
    b.line([(x + 33, y), (x + 33, y + 78)], 3, _WHITE)
    b.line([(x, y + 39), (x + 66, y + 39)], 3, _WHITE)
    lamp, top = w * g.rng.choice((0.06, 0.94)), floor - 112
    b.line([(lamp, floor + 6), (lamp, floor - 84)], 3, (90, 80, 80))
    shade = [(lamp - 10, top), (lamp + 10, top), (lamp + 19, floor - 80), (lamp - 19, floor - 80)]
    b.polygon(shade, (250, 226, 150))


_DUSK = ((116, 82, 140), (176, 96, 136), (226, 118, 112), (248, 156, 96), (254, 196, 110))


def _sunset(g: Ground) -> None:
    for i, colour in enumerate(_DUSK):
        g.band(g.horizon * i / 5, g.horizon * (i + 1) / 5 + 1, colour)
    g.sun((255, 236, 170), g.rng.uniform(24, 36), g.horizon)
    g.hills(g.horizon - 2, 6, (92, 66, 104))
    g.hills(g.horizon + 26, 8, (66, 48, 84))


_PAINTERS: dict[str, Callable[[Ground], None]] = {
    "beach": _beach,
    "forest": _forest,
    "night city": _night_city,
    "desert": _desert,
    "snow": _snow,
    "meadow": _meadow,
    "room": _room,
    "sunset": _sunset,
}


def paint_place(brush: Brush, place: str, size: tuple[int, int], rng: random.Random) -> None:
    """Fill the whole picture, `size` in pixels."""
    _PAINTERS[place](Ground(brush, size, rng))
