"""Paints one person from the stool up to the arms; the head is `head.py`'s."""

from PIL import Image, ImageChops, ImageDraw

from .brush import Brush, emblem
from .head import Head, paint_hair_behind, paint_head
from .people import IDENTITIES, Person
from .poses import Joint, Point
from .words import CLOTHES, FEMALE, SKINS, Colour

_LEGS = (
    (Joint.R_HIP, Joint.R_KNEE, Joint.R_ANKLE, -1),
    (Joint.L_HIP, Joint.L_KNEE, Joint.L_ANKLE, 1),
)


def paint_person(brush: Brush, person: Person) -> None:
    brush.outline = outline_of(person)
    head = Head.of(person)
    if person.pose == "sitting":
        _stool(brush, person)
    paint_hair_behind(brush, head)
    _legs(brush, person)
    _trunk(brush, person, head)
    paint_arms(brush, person)
    paint_head(brush, head)


def outline_of(person: Person) -> float:
    """Width in pixels."""
    return max(1.1, 0.0085 * person.size)


def _stool(brush: Brush, person: Person) -> None:
    j, s = person.all_joints, person.size
    x, y = (j[8][0] + j[11][0]) / 2, (j[8][1] + j[11][1]) / 2
    top, foot, half = y + 0.03 * s, max(j[10][1], j[13][1]) + 0.03 * s, 0.15 * s
    legs = [([(x + k * half, top), (x + k * half * 1.05, foot)], [0.012 * s] * 2) for k in (-1, 1)]
    brush.blob(legs, (150, 104, 70))
    seat = [(x - half * 1.1, top), (x + half * 1.1, top)]
    brush.blob([(seat, [0.02 * s] * 2)], (178, 126, 84))


def _legs(brush: Brush, person: Person) -> None:
    j, s, (garment, colour) = person.all_joints, person.size, person.bottom
    radius, skin, cloth = 0.038 * s, SKINS[person.skin], CLOTHES[colour]
    for hip, knee, ankle, side in _LEGS:
        radii = [radius * 1.15, radius * 0.95, radius * 0.72]
        bare = cloth if garment == "trousers" else skin
        brush.blob([([j[hip], j[knee], j[ankle]], radii)], bare)
        if garment == "shorts":
            brush.blob([([j[hip], _between(j[hip], j[knee], 0.8)], [radius * 1.25] * 2)], cloth)
        x, y = j[ankle]
        shoe = [(x, y + 0.015 * s), (x + side * 0.028 * s, y + 0.022 * s)]
        brush.blob([(shoe, [0.022 * s, 0.02 * s])], (86, 58, 48))
    if garment == "skirt":
        hem = (j[9][1] + j[12][1]) / 2 - 0.03 * s
        waist = (j[8][0] - 0.03 * s, j[8][1] - 0.05 * s), (j[11][0] + 0.03 * s, j[11][1] - 0.05 * s)
        right, left = j[9][0] - 0.045 * s, j[12][0] + 0.045 * s
        brush.polygon([*waist, (left, hem), (right, hem)], cloth, True)
        return
    brush.blob([([j[8], j[11]], [radius * 1.15] * 2)], cloth)
    for hip, knee, _, _ in _LEGS:  # no line between seat and legs
        (x, y), (mx, my) = j[hip], _between(j[hip], j[knee], 0.45)
        near, far = radius, radius * 0.95
        brush.polygon([(x - near, y), (x + near, y), (mx + far, my), (mx - far, my)], cloth)


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _trunk(brush: Brush, person: Person, head: Head) -> None:
    j, s = person.all_joints, person.size
    brush.blob([([j[Joint.NECK], head.at(0, 0.6)], [0.03 * s, 0.028 * s])], head.skin)
    chest, shirt = _chest(person), CLOTHES[person.shirt]
    brush.polygon(chest, shirt, True)
    if brush.flat is None and person.pattern:
        _pattern(brush, chest, person.pattern, shirt, s)
    if person.identity is None:
        return
    name = IDENTITIES[person.identity].emblem
    x = (j[2][0] + j[5][0] + j[8][0] + j[11][0]) / 4
    y, radius = j[Joint.NECK][1] + 0.125 * s, 0.062 * s
    brush.outline *= 0.7
    brush.polygon(emblem(name, (x, y), radius), head.hair[0], True)
    if name == "moon":
        brush.disc((x + radius * 0.4, y), radius * 0.75, shirt)
    elif name == "ring":
        brush.disc((x, y), radius * 0.55, shirt)
    brush.outline /= 0.7


def _chest(person: Person) -> list[Point]:
    """The shirt without sleeves."""
    j, s = person.all_joints, person.size
    (nx, ny), (rx, ry), (lx, ly) = j[Joint.NECK], j[Joint.R_SHOULDER], j[Joint.L_SHOULDER]
    right = (j[Joint.R_HIP][0], j[Joint.R_HIP][1] - 0.03 * s)
    left = (j[Joint.L_HIP][0], j[Joint.L_HIP][1] - 0.03 * s)
    waist = 0.012 * s if person.cls in FEMALE else -0.004 * s
    pad = 0.03 * s
    waist_r = ((rx + right[0]) / 2 + waist - pad, (ry + right[1]) / 2 + 0.02 * s)
    waist_l = ((lx + left[0]) / 2 - waist + pad, (ly + left[1]) / 2 + 0.02 * s)
    return [
        (nx - 0.035 * s, ny - 0.022 * s),
        (nx, ny + 0.012 * s),
        (nx + 0.035 * s, ny - 0.022 * s),
        (lx + 0.012 * s, ly - 0.024 * s),
        (lx + pad, ly + 0.02 * s),
        waist_l,
        (left[0] + pad, left[1] + 0.03 * s),
        (right[0] - pad, right[1] + 0.03 * s),
        waist_r,
        (rx - pad, ry + 0.02 * s),
        (rx - 0.012 * s, ry - 0.024 * s),
    ]


def _pattern(brush: Brush, chest: list[Point], name: str, shirt: Colour, size: float) -> None:
    second = (250, 250, 246) if sum(shirt) < 560 else (96, 100, 120)
    k = brush.scale
    x0, y0 = (int(min(point[axis] for point in chest) * k) for axis in (0, 1))
    x1, y1 = (int(max(point[axis] for point in chest) * k) + 1 for axis in (0, 1))
    w, h = max(1, x1 - x0), max(1, y1 - y0)
    cloth = Image.new("L", (w, h))
    ImageDraw.Draw(cloth).polygon([(x * k - x0, y * k - y0) for x, y in chest], fill=255)
    print_ = _printed((w, h), name, max(3.0, 0.042 * size) * k)
    brush.image.paste(second, (x0, y0), ImageChops.multiply(cloth, print_))


def _printed(size: tuple[int, int], name: str, step: float) -> Image.Image:
    """The pattern over a whole cloth; step in its pixels."""
    w, h = size
    ink = Image.new("L", size)
    draw = ImageDraw.Draw(ink)
    rows, columns = int(h / step) + 2, int(w / step) + 2
    for i in range(rows):
        if name == "dotted":
            for n in range(columns):
                x, y, r = (n + 0.5 * (i % 2)) * step, (i + 0.5) * step, 0.24 * step
                draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
        else:
            end = 0.75 if name == "striped" else 0.55
            draw.rectangle((0, i * step + step * 0.3, w, i * step + step * end), fill=255)
    if name == "checked":
        for n in range(columns):
            draw.rectangle((n * step, 0, n * step + step * 0.25, h), fill=255)
    return ink


def paint_arms(brush: Brush, person: Person) -> None:
    """The wrist further up the body is painted last, so that crossed arms look crossed."""
    j, r, skin = person.all_joints, 0.031 * person.size, SKINS[person.skin]
    shoulders = (Joint.R_SHOULDER, Joint.L_SHOULDER)
    for a in sorted(shoulders, key=lambda i: j[i + 2][1], reverse=True):
        shoulder, elbow, wrist = j[a], j[a + 1], j[a + 2]
        arm = ([shoulder, elbow, wrist], [r * 0.9, r * 0.82, r * 0.66])
        brush.blob([arm, ([wrist, wrist], [r * 0.92] * 2)], skin)
        sleeve = [shoulder, _between(shoulder, elbow, 0.8)]
        brush.blob([(sleeve, [r * 1.05, r * 1.08])], CLOTHES[person.shirt])
