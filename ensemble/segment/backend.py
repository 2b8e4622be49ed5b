"""What a mask backend is: an entry that says which words it knows and what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import torch

from ..pictures import to_bytes
from .words import concept

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

    @staticmethod
    def folder_of(repository: str) -> "ModelFile":
        """A model folder of Hugging Face for FOLDER."""
        name = repository.partition("/")[2]
        return ModelFile(f"{name}/ (a folder)", FOLDER, f"huggingface.co/{repository}")

    def __str__(self) -> str:
        return f"{self.name} in models/{self.folder} ({self.url})"


@dataclass(frozen=True, kw_only=True)
class Sockets:
    """Models linked to the node. Each wins over a file of its kind in the model folders."""

    sam3_model: Any = None
    sam3_clip: Any = None
    background_removal: Any = None
    face_detection: Any = None


@dataclass(frozen=True, kw_only=True)
class Job:
    # `[B,H,W,3]` in 0..1.
    image: torch.Tensor
    words: tuple[str, ...]
    # The least score that counts.
    threshold: float
    sockets: Sockets = field(default_factory=Sockets)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.image.shape[1], self.image.shape[2]

    def pictures(self) -> list[torch.Tensor]:
        """B pictures `[3,H,W]` uint8, the form every processor was made for."""
        return list(to_bytes(self.image).movedim(-1, 1))


def ranks(known: Mapping[str, float], other: float = 0.0) -> Callable[[str], float]:
    """`Backend.fit` by a table of concepts; `other` is for all words that are not in it."""
    return lambda word: known.get(concept(word), other)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way from words to masks. Every module in this folder that cuts masks ends with one."""

    id: str
    title: str
    # What a user can put into the model folders for it; all of them are needed.
    files: tuple[ModelFile, ...]
    licence: str
    softness: Softness
    # 0 for a word that it does not know, else its place in the order of preference, up to 1: a rank
    # and not a measured quality.
    fit: Callable[[str], float]
    # What `segment` needs (a linked model, a path), or None; nothing is loaded yet.
    find: Callable[[Sockets], Any]
    # Masks `[len(words),B,H,W]` of what `find` found and a job.
    segment: Callable[[Any, Job], torch.Tensor]
    # Used where the user names none.
    threshold: float = 0.5
    # Shown whenever the backend was used.
    caution: str = ""
