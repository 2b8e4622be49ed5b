"""Poses of people who touch: hug, shaking hands, an arm round the shoulder, a child carried, sitting
close.

Figures have height 1 as the default pose's (default.FIGURE), x from the middle of the picture, the
crown at y = 0. Each says how far in front it is, so that regions know whose arm goes round whom.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

from ..regions.body18 import Joint
from .default import CUT, FIGURE, HEAD, MIN_HEAD, ROOM, TOP, Framing, Layout
from .skeleton import Pose, Skeleton

Point = tuple[float, float]
_ARM = 0.15  # shoulder to elbow, and elbow to wrist
_CHILD = 0.52  # of an adult's height
_FACE = (Joint.NOSE, Joint.R_EYE, Joint.L_EYE, Joint.R_EAR, Joint.L_EAR)
_RIGHT = (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST)
_LEFT = (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST)


class Contact(str, Enum):
    HUG = "hug"
    SHAKING_HANDS = "shaking hands"
    ARM_ROUND = "arm round the shoulder"
    CARRYING = "carrying a child"
    SITTING_CLOSE = "sitting close"


@dataclass
class Figure:
    """One person while they are put into place: joints `[18,2]`."""

    xy: np.ndarray
    front: float = 0.0

    def arm(self, right: bool, wrist: Point, bend: int, bone: float = _ARM) -> None:
        """The hand at that place, or as far towards it as the arm goes; bend: the elbow's side, 1 is
        clockwise from the way to the hand. bone: shorter where the arm leads into the picture."""
        shoulder, elbow, hand = _RIGHT if right else _LEFT
        start, way = self.xy[shoulder], np.array(wrist) - self.xy[shoulder]
        length = self.scale * bone
        far = min(float(np.linalg.norm(way)), 1.98 * length)
        along = way / max(float(np.linalg.norm(way)), 1e-6)
        across = np.array([-along[1], along[0]]) * bend
        self.xy[hand] = start + along * far
        self.xy[elbow] = start + along * far / 2 + across * np.sqrt(length**2 - (far / 2) ** 2)

    @property
    def scale(self) -> float:
        """Of the trunk against FIGURE's."""
        return (self.xy[Joint.R_HIP, 1] - self.xy[Joint.NECK, 1]) / 0.315

    def turn(self, way: float) -> None:
        """The face looks that way, and the shoulders follow; -1 is the picture's left, 1 its right."""
        self.xy[list(_FACE), 0] += 0.02 * way
        middle = self.xy[Joint.NECK, 0]
        for joint in (*_RIGHT, *_LEFT, Joint.R_HIP, Joint.L_HIP):
            self.xy[joint, 0] = middle + (self.xy[joint, 0] - middle) * (1 - 0.35 * abs(way))


def standing(x: float = 0.0, front: float = 0.0) -> Figure:
    """With hanging arms."""
    figure = Figure(FIGURE + np.array([x, 0.0]), front)
    for side, right in ((-1, True), (1, False)):
        figure.arm(right, (x + side * 0.15, 0.46), -side)
    return figure


def _row(people: int, apart: float) -> list[float]:
    return [(i - (people - 1) / 2) * apart for i in range(people)]


def _hug(people: int) -> list[Figure]:
    """The first one's back is nearest; the others' arms go round it."""
    figures = [standing(x, float(-i)) for i, x in enumerate(_row(people, 0.19))]
    for i, figure in enumerate(figures):
        other = figures[1 if i == 0 else i - 1].xy[Joint.NECK]
        way = 1 if i == 0 else -1
        figure.turn(way)
        high, low = (other[0] + 0.03 * way, 0.27), (other[0] - 0.03 * way, 0.36)
        figure.arm(way < 0, high, way)
        figure.arm(way > 0, low, -way)
    return figures


def _shaking_hands(people: int) -> list[Figure]:
    """Right hands, as people do: the left one's is on the viewer's side."""
    left, right = (standing(x) for x in _row(people, 0.3))
    left.turn(1)
    right.turn(-1)
    left.front = 1.0
    left.arm(True, (0.0, 0.39), -1)
    right.arm(True, (0.0, 0.39), 1)
    return [left, right]


def _arm_round(people: int) -> list[Figure]:
    """Each has the arm on the next one's farther shoulder."""
    figures = [standing(x, float(i)) for i, x in enumerate(_row(people, 0.24))]
    for i in range(people - 1):
        x, y = figures[i + 1].xy[Joint.L_SHOULDER]
        figures[i].arm(False, (x - 0.035, y + 0.02), -1, 0.112)
    return figures


def _carrying(people: int) -> list[Figure]:
    """The child sits on the first one's arm and holds on to the neck; a third puts an arm round."""
    adult = standing(_row(people, 0.3)[0])
    x = adult.xy[Joint.NECK, 0]
    child = Figure((FIGURE - (0.0, 0.5)) * _CHILD + (x + 0.13, 0.43), 1.0)
    head, neck = child.xy[list(_FACE)], child.xy[Joint.NECK].copy()
    child.xy[list(_FACE)] = neck + (head - neck) * 1.25  # children's heads are larger
    hips = child.xy[[Joint.R_HIP, Joint.L_HIP]].mean(0)
    for side, knee, ankle in ((-1, Joint.R_KNEE, Joint.R_ANKLE), (1, Joint.L_KNEE, Joint.L_ANKLE)):
        child.xy[knee] = hips + np.array([side * 0.055, 0.04])
        child.xy[ankle] = hips + np.array([side * 0.05, 0.13])
    child.arm(True, (x + 0.01, neck[1] + 0.03), 1)
    child.arm(False, (hips[0] + 0.03, hips[1] - 0.03), -1)
    adult.arm(False, (float(hips[0]) - 0.02, float(hips[1]) + 0.02), -1)
    adult.arm(True, (float(hips[0]) - 0.03, float(hips[1]) - 0.05), -1)
    figures = [adult, child]
    if people == 3:
        third = standing(x + 0.33, -1.0)
        third.turn(-0.6)
        third.arm(True, (x + 0.09, 0.21), 1, 0.09)
        figures.append(third)
    return figures


def _sitting_close(people: int) -> list[Figure]:
    """Shoulder at shoulder, hands in the lap."""
    figures = [standing(x, float(i % 2)) for i, x in enumerate(_row(people, 0.2))]
    for figure in figures:
        sit(figure)
    return figures


def sit(figure: Figure) -> None:
    """Seen from the front, hands in the lap."""
    middle = figure.xy[Joint.NECK, 0]
    for side, right in ((-1, True), (1, False)):
        knee, ankle = (Joint.R_KNEE, Joint.R_ANKLE) if right else (Joint.L_KNEE, Joint.L_ANKLE)
        figure.xy[knee] = middle + side * 0.07, 0.57
        figure.xy[ankle] = middle + side * 0.06, 0.76
        figure.arm(right, (middle + side * 0.045, 0.5), -side)


@dataclass(frozen=True)
class _Kind:
    people: tuple[int, ...]
    figures: Callable[[int], list[Figure]]
    # How far down figures go, against standing ones.
    depth: float = 1.0


_KINDS = {
    Contact.HUG: _Kind((2, 3), _hug),
    Contact.SHAKING_HANDS: _Kind((2,), _shaking_hands),
    Contact.ARM_ROUND: _Kind((2, 3), _arm_round),
    Contact.CARRYING: _Kind((2, 3), _carrying),
    Contact.SITTING_CLOSE: _Kind((2, 3), _sitting_close, 0.82),
}


def contact_pose(
    contact: Contact, people: int, width: int, height: int, framing: Framing = Framing.AUTO
) -> tuple[Pose, Layout]:
    """The pose on a canvas, framed as the default pose is. ValueError for a number of people that it
    is not made for."""
    kind = _KINDS[contact]
    if people not in kind.people:
        known = " or ".join(map(str, kind.people))
        raise ValueError(
            f"no_picture: {contact.value} is a pose of {known} people, and {people} are asked for. "
            "Set people, change the prompt's parts, or choose arms crossed, which takes any number."
        )
    return laid_out(kind.figures(people), kind.depth, width, height, framing)


def laid_out(
    figures: Sequence[Figure],
    depth: float,
    width: int,
    height: int,
    framing: Framing = Framing.AUTO,
) -> tuple[Pose, Layout]:
    """Figures in the middle of a canvas. depth: how far down they go, against standing ones."""
    layout = _framed(figures, depth, width, height, framing)
    left, right = _edges(figures)
    shift = np.array([width / 2 - (left + right) / 2 * layout.scale, TOP * height])
    bodies = [np.c_[f.xy * layout.scale + shift, np.ones(len(f.xy))] for f in figures]
    made = [
        replace(Skeleton.of(body), front=figure.front)
        for body, figure in zip(bodies, figures, strict=True)
    ]
    return Pose(width, height, tuple(made)), layout


def _framed(
    figures: Sequence[Figure], depth: float, width: int, height: int, framing: Framing
) -> Layout:
    """The widest frame that keeps MIN_HEAD, else the biggest heads."""
    left, right = _edges(figures)
    layouts = []
    for frame in CUT if framing is Framing.AUTO else (framing,):
        scale = min(height * (1 - TOP) / (CUT[frame] * depth), width / (right - left + ROOM / 2))
        layouts.append(Layout(frame, (len(figures),), scale, HEAD * scale))
    fitting = [layout for layout in layouts if layout.head >= MIN_HEAD]
    return fitting[0] if fitting else max(layouts, key=lambda layout: layout.head)


def _edges(figures: Sequence[Figure]) -> tuple[float, float]:
    every = np.concatenate([figure.xy[:, 0] for figure in figures])
    return float(every.min()), float(every.max())
