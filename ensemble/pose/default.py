"""The pose for when there is no picture: people with crossed arms, evenly spaced, framed for faces.

A head smaller than about 64 px is 8 latent pixels and comes out broken, so the frame is cut
closer - whole body, knees up, waist up - and then people stand in rows.
"""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from .skeleton import Pose, Skeleton

# One figure of height 1, x measured from its middle line, the crown at y = 0; arms crossed.
FIGURE = np.array([
    (0, .09), (0, .185), (-.10, .19), (-.135, .315), (.045, .285), (.10, .19), (.135, .315),
    (-.045, .305), (-.065, .50), (-.07, .72), (-.075, .93), (.065, .50), (.07, .72), (.075, .93),
    (-.022, .075), (.022, .075), (-.048, .085), (.048, .085),
])  # fmt: skip
HEAD = 0.16  # crown to chin
ROOM = 0.34  # width one figure needs, elbows and air
TOP = 0.04  # air above the crown, as a part of the row's height
MIN_HEAD = 64


class Framing(str, Enum):
    AUTO = "auto"
    FULL = "full body"
    KNEES = "knees up"
    WAIST = "waist up"


# How far down the figure the lower border of a row cuts.
CUT = {Framing.FULL: 0.96, Framing.KNEES: 0.76, Framing.WAIST: 0.54}


@dataclass(frozen=True)
class Layout:
    """How N people share a canvas. `head` is the height of a head in pixels."""

    framing: Framing
    rows: tuple[int, ...]
    scale: float
    head: float


def default_pose(
    people: int, width: int, height: int, framing: Framing = Framing.AUTO
) -> tuple[Pose, Layout]:
    """`people` figures with crossed arms on a canvas, left to right, upper rows first.

    A row behind another one ends where the next begins; its joints below that are missing.
    """
    layout = arrange(people, width, height, framing)
    row_height = height / len(layout.rows)
    figures = []
    for row, count in enumerate(layout.rows):
        top = row * row_height + TOP * row_height
        for i in range(count):
            xy = FIGURE * layout.scale + ((i + 0.5) * width / count, top)
            # The lowest row runs out of the picture like a photo; the others end behind the next.
            hidden = (row < len(layout.rows) - 1) & (xy[:, 1] >= (row + 1) * row_height)
            figures.append(Skeleton.of(np.where(hidden[:, None], 0.0, np.c_[xy, np.ones(len(xy))])))
    return Pose(width, height, tuple(figures)), layout


def arrange(people: int, width: int, height: int, framing: Framing = Framing.AUTO) -> Layout:
    """The fewest rows, then the widest frame that keep MIN_HEAD; else the biggest heads."""
    framings = list(CUT) if framing is Framing.AUTO else [framing]
    layouts = []
    for rows in range(1, people + 1):
        counts = _split(people, rows)
        for frame in framings:
            tall = height / rows * (1 - TOP) / CUT[frame]
            scale = min(tall, width / max(counts) / ROOM)
            layouts.append(Layout(frame, counts, scale, HEAD * scale))
    fitting = [layout for layout in layouts if layout.head >= MIN_HEAD]
    return fitting[0] if fitting else max(layouts, key=lambda layout: layout.head)


def _split(people: int, rows: int) -> tuple[int, ...]:
    """People per row, as even as can be, the longer rows behind."""
    return tuple(math.ceil((people - row) / rows) for row in range(rows))
