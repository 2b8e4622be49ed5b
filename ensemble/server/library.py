"""The machine this ComfyUI runs on, as the recipe compiler sees it."""

import os
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from itertools import islice
from threading import Lock
from typing import Any

import folder_paths
from safetensors import SafetensorError, safe_open

import nodes

from ..lora.aliases import Aliases, read_aliases
from ..lora.files import open_file, read_hashes
from ..lora.names import names_among
from ..models.loading import folder_names
from ..pictures import eight_bit
from ..recipes.library import Library
from ..recipes.stage_picture import last_part

FOLDERS_OF_FILES = (
    "checkpoints",
    "loras",
    "embeddings",
    "vae",
    "diffusion_models",
    "text_encoders",
    "controlnet",
    "model_patches",
    "upscale_models",
    "facerestore_models",
    "geometry_estimation",
    "detection",
)
FOLDERS_OF_FOLDERS = ("safety_checker", "translation")
HASHED = ("checkpoints", "loras")
MOST_HASHED = 16
# A checkpoint takes a disk for seconds: one at a time, whoever asks.
_HASHING = Lock()
IMAGES = "images"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif")


def this_machine() -> Library:
    """Every file and node of this ComfyUI, now. Raises AliasFileError for a broken alias file."""
    aliases = read_aliases()
    files = {folder: tuple(folder_paths.get_filename_list(folder)) for folder in FOLDERS_OF_FILES}
    files |= {folder: tuple(folder_names(folder)) for folder in FOLDERS_OF_FOLDERS}
    inputs, _ = folder_paths.recursive_search(folder_paths.get_input_directory())
    files[IMAGES] = tuple(inputs)

    sets, known = _sets(aliases)

    def find(name: str, folder: str) -> str:
        names = names_among(folder, files[folder], known)
        if folder == IMAGES and names.match(name).error:
            name = _with_extension(name, files[IMAGES]) or name
        return names.resolve(name)

    def size(name: str) -> tuple[int, int] | None:
        # No name to look for among the files, but the picture itself, of megabytes.
        if name.startswith("data:"):
            return None
        if name.startswith(("http://", "https://")):
            name = last_part(name)
        try:
            return _size(find(name, IMAGES))
        except ValueError:
            return None

    return Library(
        files,
        _Definitions(),
        find,
        readable=_readable,
        size=size,
        faces=_faces(aliases),
        sets=sets,
        architecture=_architecture,
        language=_language,
    )


def _with_extension(name: str, files: tuple[str, ...]) -> str | None:
    """The one picture that is called so but for its extension."""
    stem = os.path.splitext(name)[0] if name.lower().endswith(_PICTURES) else name
    found = [
        file
        for file in files
        if file.lower().endswith(_PICTURES) and os.path.splitext(file)[0] in (name, stem)
    ]
    return found[0] if len(found) == 1 else None


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


def _size(name: str) -> tuple[int, int] | None:
    from PIL import ExifTags, Image

    folder = folder_paths.get_input_directory()
    path = os.path.join(folder, name)
    if not folder_paths.is_within_directory(folder, path):
        return None
    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return picture.size[::-1] if turned else picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _sets(aliases: Aliases) -> tuple[dict[str, tuple[str, ...]], Aliases]:
    """Checkpoints that are several files (`model + text encoder + vae`), and the aliases in which a
    checkpoint may also mean a file in `diffusion_models`."""
    checkpoints = aliases.of_folder("checkpoints")
    sets = {
        name: tuple(part.strip() for part in target.split(" + "))
        for name, target in checkpoints.items()
        if " + " in target
    }
    whole = {name: target for name, target in checkpoints.items() if name not in sets}
    models = {**whole, **aliases.sections.get("diffusion_models", {})}
    return sets, replace(aliases, sections={**aliases.sections, "diffusion_models": models})


def _architecture(file: str, folder: str) -> str:
    """`modelspec.architecture` of a safetensors file."""
    path = folder_paths.get_full_path(folder, file)
    if path is None or not path.endswith((".safetensors", ".sft")):
        return ""
    try:
        with safe_open(path, framework="numpy") as opened:
            return (opened.metadata() or {}).get("modelspec.architecture", "")
    except (OSError, SafetensorError):
        return ""  # its loader tells


def _faces(aliases: Aliases) -> dict[str, str]:
    """Person and LoRA of a person with pictures of their face -> the person."""
    found: dict[str, str] = {}
    for name, entry in aliases.people.items():
        if entry.get("faces"):
            found |= {str(key): name for key in (name, entry.get("lora")) if key}
    return found


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


def hashes_of(files: list[dict[str, str]]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """AutoV2 and AutoV3 of the first MOST_HASHED checkpoints and LoRAs of a report, by file name; and
    a note of the others, if there are any."""
    wanted = {entry["file"]: entry["folder"] for entry in files if entry["folder"] in HASHED}
    found: dict[str, dict[str, str]] = {}
    for file, folder in islice(wanted.items(), MOST_HASHED):
        with _HASHING:
            hashes = _hashes(open_file(file, folder))
        found[file] = {"autov2": hashes.autov2, "autov3": hashes.autov3}
    others = [file for file in wanted if file not in found]
    if not others:
        return found, []
    return found, [f"hashes: of {MOST_HASHED} files at most; not of {', '.join(others)}"]


_hashes = lru_cache(maxsize=256)(read_hashes)
