"""The embedders, and which of them compares the faces."""

from typing import Any, NamedTuple

from . import dinov2, sface
from .choices import AUTO
from .choices import EMBEDDERS as CHOICES
from .embedder import Embedder

# In the order of preference: who sees faces only before who sees everything.
EMBEDDERS: tuple[Embedder, ...] = (sface.EMBEDDER, dinov2.EMBEDDER)


class Chosen(NamedTuple):
    """An embedder, and what it found to work with."""

    embedder: Embedder
    found: Any


def choose(choice: str) -> Chosen:
    """The named embedder, or for auto the first that is there. ValueError lists which file in which
    folder would do."""
    asked = [embedder for embedder in EMBEDDERS if choice in (AUTO, embedder.id)]
    if not asked:
        raise ValueError(f"embedder is {choice!r} and must be one of {', '.join(CHOICES)}.")
    for embedder in asked:
        if (found := embedder.find()) is not None:
            return Chosen(embedder, found)
    raise ValueError(
        f"embedder is {choice}: nothing to compare faces with is there, and nothing is downloaded. "
        "Put into ComfyUI's models folder: " + "; or ".join(map(_way, asked)) + "."
    )


def _way(embedder: Embedder) -> str:
    files = " or ".join(map(str, embedder.files))
    return f"{embedder.title}: {files}" + (
        ", and install the package opencv-python where it is missing"
        if embedder is sface.EMBEDDER
        else ""
    )
