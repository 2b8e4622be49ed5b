"""What is on the machine that will run the graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Library:
    """Folders have ComfyUI's names (`loras`, `vae`, …); `images` is the input folder."""

    # The names of files, by folder.
    files: Mapping[str, tuple[str, ...]]
    # The definitions of the registered nodes, by id.
    nodes: Mapping[str, Any]
    # Name and folder -> the file that the name means, or ValueError that says what is near.
    find: Callable[[str, str], str]
    # The name of a picture -> another picture for Load Image where it would misread the first.
    readable: Callable[[str], bytes | None] = lambda _: None
    # The name of a picture -> its width and height, where they are known.
    size: Callable[[str], tuple[int, int] | None] = lambda _: None
    # What a LoRA tag names -> the person of the alias file with pictures of their face.
    faces: Mapping[str, str] = field(default_factory=dict)
    # Names of the alias file that stand for several files: model, text encoders, VAE.
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # A file and its folder -> what its metadata says it is, or nothing.
    architecture: Callable[[str, str], str] = lambda _file, _folder: ""
    # A text -> the ISO 639-1 code of its language, or ValueError that says what is missing to tell.
    language: Callable[[str], str] = lambda _: "en"

    def has(self, node: str) -> bool:
        """Whether a node of that id is registered."""
        try:
            return bool(self.nodes[node])
        except KeyError:
            return False


@dataclass(frozen=True)
class Missing:
    """One thing the recipe needs and the machine lacks, and what to do about it."""

    setting: str
    folder: str
    name: str
    hint: str
    # Files that the name may mean.
    nearest: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.setting}: {self.hint}"


class MissingError(ValueError):
    """Everything that is missing, at once."""

    def __init__(self, missing: tuple[Missing, ...]) -> None:
        self.missing = missing
        super().__init__("\n".join(str(each) for each in missing))
