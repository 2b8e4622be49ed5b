"""Pose estimators, best first. Each describes itself; the node and its errors list them all."""

import numpy as np

from ..skeleton import Pose
from .base import Estimator, Sockets
from .openpose import OpenPose
from .sdpose import SDPose
from .vitpose import ViTPose

ESTIMATORS: tuple[Estimator, ...] = (SDPose(), ViTPose(), OpenPose())
AUTO = "auto"


def choices() -> list[str]:
    """What the node's `estimator` offers."""
    return [AUTO, *(choice for estimator in ESTIMATORS for choice in estimator.choices())]


def available() -> str:
    """Changes when models come to their folders or leave them."""
    return repr(
        [(choice, e.missing(choice, Sockets())) for e in ESTIMATORS for choice in e.choices()]
    )


def estimate(image: np.ndarray, choice: str, sockets: Sockets) -> Pose:
    """The people in an RGB uint8 photo `[H,W,3]`, by the chosen estimator or the first that can run.

    Raises ValueError saying what to put where, when none can.
    """
    reasons = []
    for estimator in ESTIMATORS:
        if choice != AUTO and choice not in estimator.choices():
            continue
        lacking = estimator.missing(choice, sockets)
        if not lacking:
            return estimator.estimate(image, "" if choice == AUTO else choice, sockets)
        reasons.append(f"{estimator.needs} ({lacking})")
    raise ValueError(
        "image is a photo, and finding people in it needs one of these: "
        + "; ".join(reasons)
        + ". A drawn skeleton, keypoints, or no picture at all need none."
    )
