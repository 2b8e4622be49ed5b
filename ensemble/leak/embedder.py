"""What an embedder is: an entry that says what it needs, and turns faces into directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from ..faces.align import WHOLE_CROP, carry, crop_matrix, inverse
from ..faces.boxes import Face
from ..pictures import rgb, to_bytes
from ..segment.backend import ModelFile

# The folder under models/ with the embedders' files.
FOLDER = "face_recognition"


@dataclass(frozen=True)
class View:
    """One face in a picture `[H,W,C]`, 0..1."""

    picture: torch.Tensor
    face: Face

    def crop(self) -> torch.Tensor:
        """The face with its hair, as `align.crop_matrix` crops it: uint8 `[512,512,3]`."""
        planes = rgb(self.picture).movedim(-1, 0).float()
        crop = carry(planes, inverse(crop_matrix(self.face)), WHOLE_CROP)
        return to_bytes(crop.movedim(0, -1))


class Embedder(Protocol):
    """Every module of this folder that compares faces ends with one."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def files(self) -> tuple[ModelFile, ...]:
        """What a user can put into the model folders for it; one of them is enough."""
        ...

    @property
    def licence(self) -> str: ...
    @property
    def threshold(self) -> float:
        """The similarity below which two faces are two people, where the user names none."""
        ...

    def find(self) -> Any:
        """What `embed` needs, or None; nothing is loaded yet."""
        ...

    def embed(self, found: Any, views: Sequence[View]) -> torch.Tensor:
        """`[N,D]` for N faces; of any length, `similarities` looks at directions only."""
        ...


def similarities(faces: torch.Tensor, people: torch.Tensor) -> np.ndarray:
    """Cosines `[N,P]` of embeddings `[N,D]` and `[P,D]`."""
    unit = (torch.nn.functional.normalize(each.double().cpu(), dim=1) for each in (faces, people))
    ours, theirs = unit
    return (ours @ theirs.T).numpy()
