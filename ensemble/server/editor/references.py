"""Every picture that `<ref:NAME>` can mean, for the graph editor."""

from typing import Any

from ...lora.aliases import AliasFileError, read_aliases
from ...lora.names import IMAGES
from ...regional.reference_pictures import input_pictures
from .loras import short_names


def list_references() -> dict[str, Any]:
    """`references`: each picture of the input folder with the name to write; `aliases`: id, or a person of
    the alias file -> file; `problem`: why there are no aliases, or nothing."""
    problem = ""
    aliases: dict[str, str] = {}
    try:
        aliases = read_aliases().of_folder(IMAGES)
    except AliasFileError as error:
        problem = str(error)
    files = sorted(input_pictures())
    names = short_names(tuple(files))
    listed = [{"file": file, "name": names[file]} for file in files]
    return {"references": listed, "aliases": aliases, "problem": problem}
