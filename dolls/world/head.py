"""Paints a head. Points on it are in head radii from its middle, and turn and tilt with it."""

import math
from dataclasses import dataclass

from .brush import Brush, emblem
from .people import IDENTITIES, Identity, Person
from .poses import Joint, Point
from .words import CLOTHES, FEMALE, HAIRS, OUTLINE, SIGNATURE, SKINS, Colour, mix

_ARC = [-1.5 + 0.25 * i for i in range(13)]  # angles from temple to temple


@dataclass(frozen=True)
class Head:
    """turn: how far the face has moved sideways, in head radii. hair: left and right, as seen."""

    person: Person
    identity: Identity | None
    radius: float
    turn: float
    skin: Colour
    hair: tuple[Colour, Colour]

    @staticmethod
    def of(person: Person) -> "Head":
        identity = None if person.identity is None else IDENTITIES[person.identity]
        if identity is None:
            hair = (HAIRS[person.hair], HAIRS[person.hair])
        else:
            hair = (SIGNATURE[identity.hair[0]], SIGNATURE[identity.hair[1]])
        turn = person.turn * 0.35
        return Head(person, identity, person.head_radius, turn, SKINS[person.skin], hair)

    @property
    def female(self) -> bool:
        return self.person.cls in FEMALE

    def at(self, x: float, y: float) -> Point:
        """Where (x, y) of the head is in the picture, in pixels."""
        cx, cy = self.person.all_joints[Joint.HEAD]
        cosine, sine = math.cos(self.person.tilt), math.sin(self.person.tilt)
        return cx + self.radius * (cosine * x - sine * y), cy + self.radius * (
            sine * x + cosine * y
        )

    def arc(self, x: float, rx: float, y: float, ry: float) -> list[Point]:
        """From temple to temple; ry below 0 over the crown, above 0 under the chin."""
        return [self.at(x + rx * math.sin(a), y + ry * math.cos(a)) for a in _ARC]


def paint_hair_behind(brush: Brush, head: Head) -> None:
    """Long hair behind the shoulders."""
    if head.person.hair_length != "long":
        return
    knots = ((0.5, -0.3, 0.6), (0.66, 0.7, 0.52), (0.62, 1.5, 0.34))
    strands = [
        ([head.at(k * x, y) for x, y, _ in knots], [r * head.radius for _, _, r in knots])
        for k in (-1, 1)
    ]
    brush.blob(strands, head.hair[0])
    if head.hair[0] != head.hair[1]:
        for x, y, r in knots:
            brush.disc(head.at(x, y), r * head.radius, head.hair[1])


def paint_head(brush: Brush, head: Head) -> None:
    r = head.radius
    for k in (-1, 1):
        brush.knob(head.at(k * 0.95, 0.08), 0.17 * r, head.skin)
    chin, jaw = (0.12, 0.9) if head.female else (0.2, 0.86)
    brush.blob([([head.at(0, -0.08), head.at(0, chin)], [r, jaw * r])], head.skin)
    _face(brush, head)
    _hair(brush, head)
    if head.person.glasses:
        for k in (-1, 1):
            brush.ring(head.at(head.turn + k * 0.38, 0.0), 0.31 * r, 0.085 * r, OUTLINE)
        bridge = [head.at(head.turn - 0.08, -0.02), head.at(head.turn + 0.08, -0.02)]
        brush.line(bridge, 0.08 * r, OUTLINE)
    if head.person.hat:
        colour = CLOTHES[head.person.hat]
        brush.polygon(head.arc(0.0, 1.12, -0.42, -0.98), colour, True)
        brim = [head.at(-1.15, -0.48), head.at(1.15, -0.48)]
        brush.blob([(brim, [0.13 * r] * 2)], mix(colour, (0, 0, 0), 0.18))


def _face(brush: Brush, head: Head) -> None:
    r, t, at = head.radius, head.turn, head.at
    for k in (-1, 1):
        cheek = mix(head.skin, (240, 90, 90), 0.32)
        brush.disc(at(t + k * 0.56, 0.36), 0.17 * r, cheek, 0.12 * r)
        brush.disc(at(t + k * 0.36, -0.02), 0.19 * r, (255, 255, 255), 0.22 * r)
        brush.disc(at(t * 1.25 + k * 0.36, 0.0), 0.125 * r, OUTLINE, 0.15 * r)
        brush.disc(at(t * 1.25 + k * 0.36 - 0.05, -0.07), 0.045 * r, (255, 255, 255))
        brow = [at(t + k * 0.2, -0.34), at(t + k * 0.52, -0.36)]
        thick = 0.07 if head.female else 0.11
        brush.line(brow, thick * r, mix(head.hair[k > 0], OUTLINE, 0.35))
        if head.female:
            lash = [at(t + k * 0.5, -0.12), at(t + k * 0.64, -0.2)]
            brush.line(lash, 0.07 * r, OUTLINE)
    brush.disc(at(t * 1.2, 0.22), 0.08 * r, mix(head.skin, (150, 60, 50), 0.28))
    smile = [
        at(t * 1.1 + x, 0.5 + 0.16 * (1 - (x / 0.3) ** 2)) for x in (-0.3, -0.18, 0, 0.18, 0.3)
    ]
    laughs = head.person.seed % 3 == 0
    if laughs:
        brush.polygon(smile, (150, 40, 50))
    brush.line(smile, 0.08 * r, (120, 36, 44) if laughs else OUTLINE)
    if head.identity:
        _mark(brush, head, head.identity.mark)


def _hair(brush: Brush, head: Head) -> None:
    """An arc over the crown and a parted fringe, one half per colour."""
    part = 0.0 if head.identity else (-0.3, 0.0, 0.3)[head.person.seed % 3]
    side, steps = (0.12, 9) if head.female else (0.0, 8)
    at = head.at
    for k in (-1, 1):
        angles = [0.18 * i for i in range(1, steps)]
        crown = [at(1.1 * math.sin(k * a), -1.1 * math.cos(k * a) * 1.02 - 0.04) for a in angles]
        fringe = [
            at(k * 0.93, -0.1 + side),
            at(k * 0.62, -0.44),
            at(part * 0.5 + k * 0.24, -0.6),
            at(part, -0.74),
        ]
        brush.polygon([at(0, -1.16), *crown, *fringe], head.hair[k > 0], True)
    if head.hair[0] == head.hair[1]:  # hide the seam
        seam = [at(-0.2, -1.08), at(0.2, -1.08), at(part + 0.05, -0.8), at(part - 0.05, -0.8)]
        brush.polygon(seam, head.hair[0])


def _mark(brush: Brush, head: Head, mark: str) -> None:
    r, t, at, colour = head.radius, head.turn, head.at, head.hair[1]
    if mark in ("heart", "star"):
        brush.polygon(emblem(mark, at(t + 0.58, 0.4), 0.24 * r), colour)
    elif mark == "stripe":
        left, right = t - 0.75, t + 0.75
        brush.polygon([at(left, 0.1), at(right, 0.1), at(right, 0.3), at(left, 0.3)], colour)
    elif mark == "patch":
        brush.line([at(t - 0.9, -0.3), at(t + 0.9, 0.2)], 0.07 * r, OUTLINE)
        brush.disc(at(t - 0.36, -0.02), 0.28 * r, OUTLINE)
    elif mark == "dots":
        for x, y in ((-0.6, 0.25), (-0.45, 0.42), (0.6, 0.25), (0.45, 0.42)):
            brush.disc(at(t + x, y), 0.1 * r, colour)
    else:  # beard
        brush.polygon(head.arc(t * 0.6, 0.62, 0.56, 0.55), colour)
        brush.line([at(t - 0.2, 0.62), at(t + 0.2, 0.62)], 0.09 * r, OUTLINE)
