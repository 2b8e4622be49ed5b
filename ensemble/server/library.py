"""The machine this ComfyUI runs on, as the recipe compiler sees it."""

from collections.abc import Iterator, Mapping
from typing import Any

import folder_paths

import nodes

from ..lora.aliases import read_aliases
from ..lora.files import open_file, read_hashes
from ..lora.names import names_among
from ..models.loading import folder_names
from ..recipes.library import Library

FOLDERS_OF_FILES = (
    "checkpoints",
    "loras",
    "embeddings",
    "vae",
    "controlnet",
    "upscale_models",
    "facerestore_models",
)
FOLDERS_OF_FOLDERS = ("safety_checker", "translation")
HASHED = ("checkpoints", "loras")
IMAGES = "images"


def this_machine() -> Library:
    """Every file and node of this ComfyUI, now. Raises AliasFileError for a broken alias file."""
    aliases = read_aliases()
    files = {folder: tuple(folder_paths.get_filename_list(folder)) for folder in FOLDERS_OF_FILES}
    files |= {folder: tuple(folder_names(folder)) for folder in FOLDERS_OF_FOLDERS}
    inputs, _ = folder_paths.recursive_search(folder_paths.get_input_directory())
    files[IMAGES] = tuple(inputs)

    def find(name: str, folder: str) -> str:
        return names_among(folder, files[folder], aliases).resolve(name)

    return Library(files, _Definitions(nodes.NODE_CLASS_MAPPINGS), find)


class _Definitions(Mapping[str, Any]):
    """What `/object_info` says of each node, made when it is asked for: some nodes list folders."""

    def __init__(self, classes: Mapping[str, Any]) -> None:
        self._classes = classes

    def __getitem__(self, name: str) -> dict[str, Any]:
        return _definition(self._classes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def _definition(node: Any) -> dict[str, Any]:
    """The same as ComfyUI's own route gives (server.py, node_info)."""
    if hasattr(node, "GET_NODE_INFO_V1"):
        return node.GET_NODE_INFO_V1()
    return {
        "input": node.INPUT_TYPES(),
        "output": node.RETURN_TYPES,
        "output_name": getattr(node, "RETURN_NAMES", node.RETURN_TYPES),
    }


def hashes_of(files: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """AutoV2 and AutoV3 of the checkpoints and LoRAs of a report, by file name."""
    found: dict[str, dict[str, str]] = {}
    for entry in files:
        if entry["folder"] in HASHED:
            hashes = read_hashes(open_file(entry["file"], entry["folder"]))
            found[entry["file"]] = {"autov2": hashes.autov2, "autov3": hashes.autov3}
    return found
