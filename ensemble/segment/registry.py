"""The backends, and which of them cuts which word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import birefnet, clipseg, grabcut, grounded, mediapipe_face, parsing, sam3
from .backend import Backend, Sockets
from .words import concept

AUTO = "auto"
BACKENDS: tuple[Backend, ...] = (
    birefnet.BACKEND,
    mediapipe_face.BACKEND,
    sam3.BACKEND,
    parsing.CLOTHES,
    parsing.FACE,
    grounded.BACKEND,
    clipseg.BACKEND,
    grabcut.BACKEND,
)
CHOICES = (AUTO, *(backend.id for backend in BACKENDS))


@dataclass(frozen=True)
class Cut:
    """One word, the backend that cuts it, and what that backend found to cut it with."""

    word: str
    backend: Backend
    found: Any
    complement: bool = False

    @property
    def ask(self) -> str:
        """The word put to the backend: the background is whatever the foreground is not."""
        return "foreground" if self.complement else self.word


def available() -> str:
    """What every backend finds without sockets: changes when a model is put into its folder."""
    return repr([(backend.id, backend.find(Sockets())) for backend in BACKENDS])


def fit(backend: Backend, word: str) -> float:
    return backend.fit("foreground" if concept(word) == "background" else word)


def plan(words: Sequence[str], choice: str, sockets: Sockets) -> list[Cut]:
    """For each word the best backend that is there, or the chosen one.

    Raises ValueError that lists, per word, which file in which folder would do.
    """
    asked = [backend for backend in BACKENDS if choice in (AUTO, backend.id)]
    if not asked:
        raise ValueError(f'backend = "{choice}" is not known. Choose one of {", ".join(CHOICES)}.')
    there = [(backend, found) for backend in asked if (found := backend.find(sockets)) is not None]
    cuts, missing = [], []
    for word in words:
        able = [(backend, found) for backend, found in there if fit(backend, word)]
        if able:
            backend, found = max(able, key=lambda entry: fit(entry[0], word))
            cuts.append(Cut(word, backend, found, concept(word) == "background"))
        else:
            missing.append(_missing(word, asked))
    if missing:
        raise ValueError(
            f"No mask backend is there for {len(missing)} of the words "
            f"(backend = {choice}):\n" + "\n".join(missing)
        )
    return cuts


def _missing(word: str, asked: Sequence[Backend]) -> str:
    able = sorted((b for b in asked if fit(b, word)), key=lambda b: -fit(b, word))
    if not able:
        names = ", ".join(b.title for b in BACKENDS if fit(b, word))
        return f'- "{word}": {asked[0].title} does not know it; {names} would'
    ways = []
    for backend in able:
        files = " and ".join(str(file) for file in backend.files)
        ways.append(f"{backend.title}: {files or 'the Python package opencv-python'}")
    return f'- "{word}": ' + "; or ".join(ways)
