"""A LoRA file: which one it is, what its header says, its tensors, its hashes."""

import hashlib
import json
import mmap
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import folder_paths
from safetensors import SafetensorError, safe_open

from ..prompt.errors import shown
from .aliases import alias_path
from .names import resolve

if TYPE_CHECKING:
    import torch

TRIGGER_SHARE = 0.95  # a trigger stands in nearly every caption; a few are lost to typing errors
MAX_TRIGGERS = 5


class LoraFileError(ValueError):
    """A file that is there and cannot be read."""


@dataclass(frozen=True)
class LoraFile:
    """A file at one moment: an edit changes `mtime_ns` or `size`, and with them every cache key
    made of it.
    """

    # Relative to its model folder, as core's lists spell it.
    name: str
    path: str
    mtime_ns: int
    size: int

    @property
    def is_safetensors(self) -> bool:
        return self.path.lower().endswith((".safetensors", ".sft"))


@dataclass(frozen=True)
class Metadata:
    """What a trainer wrote into the file; empty strings and no triggers where it wrote nothing."""

    base_model: str = ""
    triggers: tuple[str, ...] = ()
    title: str = ""
    # Whether it holds pictures, as core shows them.
    cover: bool = False


@dataclass(frozen=True)
class Hashes:
    """Hex prefixes that public model sites know files by."""

    # The first 10 digits of the whole file's SHA-256.
    autov2: str
    # The first 12 of the SHA-256 of what follows the safetensors header; "" for other formats.
    autov3: str


def find_lora(name: str) -> LoraFile:
    """The file a name means (see names.resolve). Raises names.UnresolvedNameError."""
    return open_file(resolve(name, "loras"))


def open_file(relative: str, folder: str = "loras") -> LoraFile:
    """The identity of a file of core's list."""
    path = folder_paths.get_full_path_or_raise(folder, relative)
    status = os.stat(path)
    return LoraFile(relative, path, status.st_mtime_ns, status.st_size)


def files_fingerprint(files: Iterable[LoraFile]) -> str:
    """A hash that changes when a file is edited, or the files or their order change."""
    return hashlib.sha256(repr([(f.path, f.mtime_ns, f.size) for f in files]).encode()).hexdigest()


def folder_fingerprint() -> str:
    """A hash that changes when any LoRA or the alias file changes."""
    aliases = alias_path()
    known = repr(aliases.stat().st_mtime_ns if aliases.exists() else None)
    files = files_fingerprint(map(open_file, folder_paths.get_filename_list("loras")))
    return hashlib.sha256((known + files).encode()).hexdigest()


@lru_cache(maxsize=16384)  # a few hundred bytes each; the editor lists whole folders
def read_metadata(file: LoraFile) -> Metadata:
    """Base model, trigger words and title, from the header only. Raises LoraFileError."""
    if not file.is_safetensors:
        return Metadata()
    try:
        with safe_open(file.path, framework="pt") as opened:
            return parse_metadata(opened.metadata() or {})
    except SafetensorError as error:
        raise _damaged(file, error) from error


def load_tensors(file: LoraFile) -> dict[str, "torch.Tensor"]:
    """The file's tensors by key, through core's reader with safe loading. Raises LoraFileError."""
    import comfy.utils

    try:
        return comfy.utils.load_torch_file(file.path, safe_load=True)
    except OSError:
        raise
    except Exception as error:  # torch and safetensors raise half a dozen types for a damaged file
        raise _damaged(file, error) from error


def _damaged(file: LoraFile, error: Exception) -> LoraFileError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return LoraFileError(
        f"LoRA file {shown(file.name)} ({file.size} bytes) is incomplete or not a LoRA: {reason}. "
        "Download or copy it again"
    )


def parse_metadata(raw: Mapping[str, str]) -> Metadata:
    """The header's free-form strings (kohya's `ss_…`, the `modelspec.…` standard) as one value."""
    architecture = raw.get("modelspec.architecture", "").split("/")[0]
    base = raw.get("ss_base_model_version") or architecture or raw.get("ss_sd_model_name", "")
    title = raw.get("modelspec.title") or raw.get("ss_output_name", "")
    phrase = raw.get("modelspec.trigger_phrase", "").strip()
    return Metadata(base, (phrase,) if phrase else _frequent_tags(raw), title, _has_cover(raw))


def _has_cover(raw: Mapping[str, str]) -> bool:
    return bool(raw.get("ssmd_cover_images", "").strip("[] "))


def _frequent_tags(raw: Mapping[str, str]) -> tuple[str, ...]:
    """Tags that stand in nearly every caption of a data set, or its folder's words where there are
    no captions.

    kohya names a folder `REPEATS_words`, counts tags per folder in `ss_tag_frequency` and pictures
    in `ss_dataset_dirs`.
    """
    frequency = _json_object(raw.get("ss_tag_frequency", ""))
    folders = _json_object(raw.get("ss_dataset_dirs", ""))
    found: list[str] = []
    for folder, counts in frequency.items():
        numbers = counts if isinstance(counts, dict) else {}
        tags = {
            str(t).strip(): n for t, n in numbers.items() if isinstance(n, int) and str(t).strip()
        }
        details = folders.get(folder)
        pictures = details.get("img_count") if isinstance(details, dict) else None
        most = max(tags.values(), default=0)
        enough = TRIGGER_SHARE * (
            pictures if isinstance(pictures, int) and pictures <= most else most
        )
        common = [tag for tag, count in tags.items() if count >= enough]
        repeats, _, words = folder.partition("_")
        if not common and repeats.isdigit() and words.strip():
            common = [words.strip()]
        found += sorted(common, key=lambda tag: -tags.get(tag, 0))[:MAX_TRIGGERS]
    return tuple(dict.fromkeys(found))[:MAX_TRIGGERS]


def _json_object(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@lru_cache(maxsize=1024)
def read_hashes(file: LoraFile) -> Hashes:
    """Both hashes. The file is mapped, so that each is one call without the interpreter lock."""
    if not file.size:
        return Hashes(hashlib.sha256().hexdigest()[:10], "")
    with (
        open(file.path, "rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
    ):
        whole = hashlib.sha256(content).hexdigest()
        if not file.is_safetensors:
            return Hashes(whole[:10], "")
        with content[8 + int.from_bytes(content[:8], "little") :] as tensors:
            return Hashes(whole[:10], hashlib.sha256(tensors).hexdigest()[:12])
