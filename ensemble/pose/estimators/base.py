"""What every pose estimator has in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..skeleton import Pose

FOLDER = "pose_estimation"


@dataclass(frozen=True)
class Box:
    """A person's box in pixels of the picture."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, eq=False)
class Sockets:
    """What is linked to the node: core's SDPose MODEL and VAE, and boxes round people."""

    sdpose_model: Any = None
    sdpose_vae: Any = None
    boxes: tuple[Box, ...] | None = None


class Estimator(Protocol):
    """A way to find skeletons. `choices` are the names the node offers for it right now."""

    @property
    def title(self) -> str: ...

    @property
    def needs(self) -> str:
        """What to put where for this estimator to work, one line."""
        ...

    def choices(self) -> Sequence[str]: ...

    def missing(self, choice: str, sockets: Sockets) -> str:
        """Empty where it can run now; else what it lacks."""
        ...

    def estimate(self, image: np.ndarray, choice: str, sockets: Sockets) -> Pose:
        """The people in an RGB uint8 picture `[H,W,3]`, joints with the model's own scores."""
        ...


def read_boxes(value: Any) -> tuple[Box, ...]:
    """BOUNDING_BOX -> the boxes of the first picture: core passes one dict, a list of them, or a
    list per picture. Boxes of something else than a person are left out where labels tell."""
    if isinstance(value, dict):
        value = [value]
    if value and isinstance(value[0], list):
        value = value[0]
    return tuple(
        Box(float(box["x"]), float(box["y"]), float(box["width"]), float(box["height"]))
        for box in value or ()
        if box.get("label", "person") == "person"
    )
