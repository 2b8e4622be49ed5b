"""Whose reference picture is which: `<ref:NAME>` among the files of the input folder, then the linked
pictures, in prompt order, for everybody else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import folder_paths
import torch

from ..lora.aliases import read_aliases
from ..lora.names import IMAGES, ModelNames, UnresolvedNameError, names_among
from ..pictures import check_picture, read_picture, rgb
from ..prompt.errors import shown
from ..prompt.grammar import MOST_REFERENCES, Part


def find_picture(name: str) -> Path:
    """The file in ComfyUI's input folder that a name means, by the rules of LoRA names. Raises
    UnresolvedNameError and AliasFileError."""
    return Path(folder_paths.get_input_directory()) / picture_names().resolve(name)


def picture_names() -> ModelNames:
    """The pictures of the input folder, now. Raises AliasFileError for a broken alias file."""
    return names_among(IMAGES, input_pictures(), read_aliases())


def input_pictures() -> list[str]:
    """The files of the input folder, and of folders in it, that are called as pictures are."""
    found, _ = folder_paths.recursive_search(folder_paths.get_input_directory())
    return folder_paths.filter_files_content_types(found, ["image"])


def reference_files(people: Sequence[Part], skip_missing: bool = False) -> list[Path | None]:
    """The file of each person's tag; None without a tag, and for a name that is no file where these
    are skipped. ValueError for a file that is no picture."""
    return [_file(part, skip_missing) for part in people]


def _file(part: Part, skip_missing: bool) -> Path | None:
    if part.reference is None:
        return None
    try:
        path = find_picture(part.reference.name)
    except UnresolvedNameError as error:
        if skip_missing:
            return None
        message = f"Input 'text': reference {error}"
        raise type(error)(message, error.name, error.nearest) from None
    _named(part.reference.name, check_picture, path)
    return path


def _named(name: str, read, path: Path):
    try:
        return read(path)
    except ValueError as error:
        raise ValueError(f"Input 'text': reference {shown(name)}: {error}") from None


def reference_pictures(
    people: Sequence[Part], linked: torch.Tensor | None, skip_missing: bool = False
) -> list[torch.Tensor | None]:
    """IMAGE `[1,H,W,3]` of each person, None for those without. linked: IMAGE `[K,H,W,C]` for people
    without a tag. ValueError for more of them than such people."""
    files = reference_files(people, skip_missing)
    free = [who for who, part in enumerate(people) if part.reference is None]
    count = 0 if linked is None else len(linked)
    if count > len(free):
        there = f"{len(people)} people" if len(free) == len(people) else (
            f"{len(people)} people, of whom {len(people) - len(free)} have a <ref:…> of their own"
        )  # fmt: skip
        raise ValueError(
            f"Input 'references' has {count} pictures, and 'text' has {there}. Link one picture per "
            f"person, in prompt order."
        )
    total = count + sum(path is not None for path in files)
    if total > MOST_REFERENCES:
        raise ValueError(
            f"Input 'references': {total} reference pictures, and {MOST_REFERENCES} are the most. "
            f"Take some out, or paint these people in groups."
        )
    pictures = [
        _named(part.reference.name, read_picture, path) if part.reference and path else None
        for part, path in zip(people, files, strict=True)
    ]
    for who, picture in zip(free, [] if linked is None else linked, strict=False):
        pictures[who] = rgb(picture[None])
    return pictures


def files_state(people: Sequence[Part]) -> str:
    """Changes when a picture that is named is edited, or a name comes to mean another file."""
    found = filter(None, reference_files(people, skip_missing=True))
    return repr([(str(path), os.stat(path).st_mtime_ns) for path in found])
