"""Poses that the editor offers: one person alone, and those of people who touch."""

import numpy as np

from .contact import Contact, Figure, contact_pose, laid_out, sit, standing
from .default import FIGURE, Framing
from .skeleton import Pose


def _sitting() -> Figure:
    figure = standing()
    sit(figure)
    return figure


def _waving() -> Figure:
    figure = standing()
    figure.arm(True, (-0.25, 0.07), -1)
    return figure


# Name -> figure, and how far down it goes against one that stands.
_ALONE = {
    "standing": (standing, 1.0),
    "sitting": (_sitting, 0.82),
    "waving": (_waving, 1.0),
    "arms crossed": (lambda: Figure(np.array(FIGURE)), 1.0),
}


def ready_poses(width: int, height: int) -> dict[str, Pose]:
    """Name -> pose in the middle of a canvas of that many pixels; people are seen whole."""
    alone = {
        name: laid_out([make()], depth, width, height, Framing.FULL)[0]
        for name, (make, depth) in _ALONE.items()
    }
    together = {
        each.value: contact_pose(each, 2, width, height, Framing.FULL)[0] for each in Contact
    }
    return alone | together
