"""Every LoRA for the graph editor: the name to write, and what its header says."""

import os
from collections import Counter
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import folder_paths

from ...lora.aliases import AliasFileError, read_aliases
from ...lora.files import LoraFile, LoraFileError, Metadata, open_file, read_metadata
from ...lora.names import name_without_folder

_PICTURE_KINDS = (".png", ".jpg", ".jpeg", ".webp")


def list_loras() -> dict[str, Any]:
    """`loras`: each file with the name to write, trigger words, base model and where its picture is; `aliases`: id ->
    file; `problem`: why there are no aliases, or nothing."""
    problem = ""
    aliases: dict[str, str] = {}
    try:
        aliases = read_aliases().of_folder("loras")
    except AliasFileError as error:
        problem = str(error)
    files = folder_paths.get_filename_list("loras")
    names = short_names(tuple(files))
    pictures = _Pictures()
    listed = []
    for file in files:
        try:
            found = open_file(file)
        except OSError:  # gone since ComfyUI listed the folder
            continue
        header = _header(found)
        has_cover = header.pop("cover") or pictures.beside(found.path)
        preview = _preview(found) if has_cover else ""
        listed.append({"file": file, "name": names[file], "preview": preview, **header})
    return {"loras": listed, "aliases": aliases, "problem": problem}


def damage_of(file: str) -> str:
    """Why a file of the folder cannot be read, by its header; nothing where it can, or is no file."""
    try:
        return _header(open_file(file))["damaged"]
    except OSError:
        return ""


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
        "cover": about.cover,
    }


def _preview(file: LoraFile) -> str:
    """Where core serves the picture of a LoRA: a path below its API."""
    folders = folder_paths.get_folder_paths("loras")
    inside = next((i for i, each in enumerate(folders) if _is_in(each, file)), None)
    return "" if inside is None else f"/experiment/models/preview/loras/{inside}/{quote(file.name)}"


def _is_in(folder: str, file: LoraFile) -> bool:
    return os.path.normpath(os.path.join(folder, file.name)) == os.path.normpath(file.path)


class _Pictures:
    """Which files have a picture beside them, called alike; each folder is listed once."""

    def __init__(self) -> None:
        self.stems: dict[str, set[str]] = {}

    def beside(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self.stems:
            files = [os.path.splitext(each) for each in os.listdir(folder)]
            self.stems[folder] = {stem for stem, kind in files if kind.lower() in _PICTURE_KINDS}
        stem = os.path.splitext(name)[0]
        return not self.stems[folder].isdisjoint((stem, f"{stem}.preview"))


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
