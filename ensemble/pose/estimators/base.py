"""What every pose estimator has in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...regions.bounding_box import read_bounding_boxes
from ...regions.rect import Rect
from ..skeleton import Pose

FOLDER = "pose_estimation"


@dataclass(frozen=True, eq=False, kw_only=True)
class Sockets:
    """What is linked to the node."""

    # Core's MODEL and VAE of SDPose.
    sdpose_model: Any = None
    sdpose_vae: Any = None
    # Boxes round people, in pixels; None where none are linked.
    boxes: tuple[Rect, ...] | None = None


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


def read_boxes(value: Any) -> tuple[Rect, ...]:
    """BOUNDING_BOX -> the boxes of the first picture. Boxes of something else than a person are left
    out, where boxes have labels."""
    boxes = read_bounding_boxes(value, "person_boxes")[0]
    return tuple(box.rect for box in boxes if box.label in ("", "person"))
