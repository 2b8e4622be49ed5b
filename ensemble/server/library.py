"""The machine this ComfyUI runs on, as the recipe compiler sees it."""

import os
from functools import lru_cache
from io import BytesIO
from itertools import islice
from threading import Lock
from typing import Any

import folder_paths

import nodes

from ..lora.aliases import read_aliases
from ..lora.files import open_file, read_hashes
from ..lora.names import names_among
from ..models.loading import folder_names
from ..pictures import eight_bit
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
MOST_HASHED = 16
# A checkpoint takes a disk for seconds: one at a time, whoever asks.
_HASHING = Lock()
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

    return Library(files, _Definitions(), find, _readable, _language)


def _readable(name: str) -> bytes | None:
    """A PNG with 8 bits of a picture of floats, which core's Load Image takes for black."""
    from PIL import Image

    folder = folder_paths.get_input_directory()
    path = os.path.join(folder, name)
    if not folder_paths.is_within_directory(folder, path):
        return None
    try:
        with Image.open(path) as picture:
            if picture.mode != "F":
                return None
            written = BytesIO()
            eight_bit(picture).save(written, "PNG")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None  # Load Image tells
    return written.getvalue()


def _language(text: str) -> str:
    from ..language.translate import ENGLISH, detect_language, is_plainly_english

    if is_plainly_english(text):
        return ENGLISH
    try:
        return detect_language(text)
    except ValueError as error:
        raise ValueError(
            "the prompt's language cannot be told without the package py3langid: install it, or write "
            "the prompt in English, or leave multi_lingual out"
        ) from error


class _Definitions(dict[str, Any]):
    """What `/object_info` says of each node (ComfyUI's server.py, node_info), made when it is asked
    for: some nodes list folders."""

    def __missing__(self, name: str) -> dict[str, Any]:
        node: Any = nodes.NODE_CLASS_MAPPINGS[name]
        if hasattr(node, "GET_NODE_INFO_V1"):
            return node.GET_NODE_INFO_V1()
        return {
            "input": node.INPUT_TYPES(),
            "output": node.RETURN_TYPES,
            "output_name": getattr(node, "RETURN_NAMES", node.RETURN_TYPES),
        }


def hashes_of(files: list[dict[str, str]]) -> dict[str, dict[str, str]]:
    """AutoV2 and AutoV3 of the first MOST_HASHED checkpoints and LoRAs of a report, by file name."""
    wanted = {entry["file"]: entry["folder"] for entry in files if entry["folder"] in HASHED}
    found: dict[str, dict[str, str]] = {}
    for file, folder in islice(wanted.items(), MOST_HASHED):
        with _HASHING:
            hashes = _hashes(open_file(file, folder))
        found[file] = {"autov2": hashes.autov2, "autov3": hashes.autov3}
    return found


_hashes = lru_cache(maxsize=256)(read_hashes)
