"""Every LoRA for the graph editor: the name to write, and what its header says."""

from collections import Counter
from functools import lru_cache
from typing import Any

import folder_paths

from ...lora.aliases import AliasFileError, read_aliases
from ...lora.files import LoraFile, LoraFileError, Metadata, open_file, read_metadata
from ...lora.names import name_without_folder


def list_loras() -> dict[str, Any]:
    """`loras`: each file with the name to write, trigger words and base model; `aliases`: id ->
    file; `problem`: why there are no aliases, or nothing."""
    problem = ""
    aliases: dict[str, str] = {}
    try:
        aliases = read_aliases().of_folder("loras")
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
