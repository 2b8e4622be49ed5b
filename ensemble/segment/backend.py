"""What a mask backend is: an entry that says which words it knows and what it needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

# The folder under models/ with the backends' own model folders.
FOLDER = "segmentation"


class Softness(Enum):
    """What the values between 0 and 1 of a backend's masks mean."""

    MATTE = "alpha: how much of the pixel belongs to the selection, hair included"
    EDGE = "0 or 1 but for a narrow ramp along the edge"
    HEAT = "a blurry likelihood; `threshold` decides where the selection ends"


@dataclass(frozen=True)
class ModelFile:
    """A file or folder that a user can put into a folder under ComfyUI's `models/`."""

    name: str
    folder: str
    url: str

    def __str__(self) -> str:
        return f"{self.name} in models/{self.folder} ({self.url})"


@dataclass(frozen=True)
class Sockets:
    """Models wired to the node. Each wins over a file of its kind in the model folders."""

    sam3_model: Any = None
    sam3_clip: Any = None
    background_removal: Any = None
    face_detection: Any = None


@dataclass(frozen=True)
class Job:
    """Pictures `[B,H,W,3]` in 0..1, the words to find in them, and the least score that counts."""

    image: torch.Tensor
    words: tuple[str, ...]
    threshold: float
    sockets: Sockets = field(default_factory=Sockets)

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[2]


@dataclass(frozen=True)
class Backend:
    """One way from words to masks. Every module in this folder that cuts masks ends with one.

    `fit(word)` is 0 for a word the backend does not know, else its place in the order of
    preference, up to 1; it is a rank and not a measured quality. `find` returns whatever `segment`
    needs (a wired model, a path), or None, without loading anything. `segment` returns
    `[len(words),B,H,W]`. `threshold` is used where the user names none. A `caution` is shown
    whenever the backend was used.
    """

    id: str
    title: str
    files: tuple[ModelFile, ...]
    licence: str
    softness: Softness
    fit: Callable[[str], float]
    find: Callable[[Sockets], Any]
    segment: Callable[[Any, Job], torch.Tensor]
    threshold: float = 0.5
    caution: str = ""


def to_bytes(image: torch.Tensor) -> list[torch.Tensor]:
    """IMAGE `[B,H,W,3]` -> B pictures `[3,H,W]` uint8, the form every processor was made for."""
    return list((image * 255).round().clamp(0, 255).to(torch.uint8).movedim(-1, 1).cpu())
