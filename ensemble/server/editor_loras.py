"""LoRAs for the graph editor: the whole list, and names looked up as people type."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import folder_paths

from ..lora.files import LoraFile, LoraFileError, Metadata, open_file, read_metadata
from ..lora.names import (
    AliasFileError,
    AmbiguousNameError,
    UnresolvedNameError,
    name_without_folder,
    read_aliases,
    resolve_among,
)

MAX_REMEMBERED = 4096  # answers kept for one state of the folder


@dataclass(frozen=True)
class Match:
    """What a name means: `status` is found, missing or ambiguous; `nearest` are names to write."""

    status: str
    file: str = ""
    nearest: tuple[str, ...] = ()
    message: str = ""


class LoraNames:
    """Looks names up among given files; asking again for one costs nothing, as while typing."""

    def __init__(self, files: tuple[str, ...], aliases: dict[str, str], alias_file: str) -> None:
        self.files = files
        self.aliases = aliases
        self._alias_file = alias_file
        self._known: dict[str, Match] = {}

    def match(self, name: str) -> Match:
        if name not in self._known:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[name] = self._look_up(name)
        return self._known[name]

    def _look_up(self, name: str) -> Match:
        try:
            file = resolve_among(name, self.files, self.aliases, alias_file=self._alias_file)
        except UnresolvedNameError as error:
            status = "ambiguous" if isinstance(error, AmbiguousNameError) else "missing"
            nearest = tuple(self.shortest(each) for each in error.nearest)
            return Match(status, nearest=nearest, message=str(error))
        return Match("found", file)

    def shortest(self, file: str) -> str:
        """The shortest way to write a file (or alias) that means it and nothing else."""
        return short_names(self.files).get(file, file)


def lora_names() -> LoraNames:
    """The LoRAs of this ComfyUI, now. Raises AliasFileError for a broken alias file."""
    aliases = read_aliases()
    files = tuple(folder_paths.get_filename_list("loras"))
    return _names(files, tuple(aliases.of_kind("loras").items()), aliases.path)


@lru_cache(maxsize=2)
def _names(files: tuple[str, ...], aliases: tuple[tuple[str, str], ...], path: str) -> LoraNames:
    return LoraNames(files, dict(aliases), path)


def list_loras() -> dict[str, Any]:
    """`loras`: each file with the name to write, trigger words and base model; `aliases`: id ->
    file; `problem`: why there are no aliases, or nothing."""
    problem = ""
    aliases: dict[str, str] = {}
    try:
        aliases = read_aliases().of_kind("loras")
    except AliasFileError as error:
        problem = str(error)
    files = folder_paths.get_filename_list("loras")
    names = short_names(tuple(files))
    listed = []
    for file in files:
        try:
            found = open_file(file)
        except OSError:  # gone since ComfyUI listed the folder
            continue
        listed.append({"file": file, "name": names[file], **_header(found)})
    return {"loras": listed, "aliases": aliases, "problem": problem}


def _header(file: LoraFile) -> dict[str, Any]:
    try:
        about, damaged = read_metadata(file), ""
    except LoraFileError as error:
        about, damaged = Metadata(), str(error)
    return {
        "base_model": about.base_model,
        "triggers": about.triggers,
        "title": about.title,
        "damaged": damaged,
    }


@lru_cache(maxsize=2)
def short_names(files: tuple[str, ...]) -> dict[str, str]:
    """File -> its name without extension, and without folder where no other file is called so."""
    stems = {file: file.replace("\\", "/").rpartition(".")[0] or file for file in files}
    bare = {file: name_without_folder(file) for file in files}
    times = Counter(name.casefold() for name in (*bare.values(), *stems.values()))
    # A file outside folders counts twice, as its stem is its bare name.
    alone = {file: 1 + (stems[file] == bare[file]) for file in files}
    return {
        file: bare[file]
        if times[bare[file].casefold()] == alone[file]
        else stem
        if times[stem.casefold()] == alone[file]
        else file
        for file, stem in stems.items()
    }
