"""A LoRA file: which one it is, what its header says, its tensors, its hashes."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import folder_paths

from ..prompt.errors import shown
from .names import resolve

MAX_HEADER = 100_000_000  # the safetensors format's own limit, in bytes
CHUNK = 1 << 20
TRIGGER_SHARE = 0.95  # a trigger stands in nearly every caption; a few are lost to typing errors
MAX_TRIGGERS = 5


class LoraFileError(ValueError):
    """A file that is there and cannot be read."""


@dataclass(frozen=True)
class LoraFile:
    """A file at one moment: an edit changes `mtime_ns` or `size`, and with them every cache key
    made of it.
    """

    name: str  # relative to its model folder, as core's lists spell it
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


@dataclass(frozen=True)
class Hashes:
    """Hex prefixes that public model sites know files by."""

    autov2: str  # first 10 digits of the whole file's SHA-256
    autov3: (
        str  # first 12 of the SHA-256 of what follows the safetensors header; "" for other formats
    )


def find_lora(name: str, kind: str = "loras") -> LoraFile:
    """The file a name means (see names.resolve). Raises names.UnresolvedNameError."""
    return open_file(resolve(name, kind), kind)


def open_file(relative: str, kind: str = "loras") -> LoraFile:
    """The identity of a file of core's list."""
    path = folder_paths.get_full_path_or_raise(kind, relative)
    status = os.stat(path)
    return LoraFile(relative, path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def read_metadata(file: LoraFile) -> Metadata:
    """Base model, trigger words and title, from the header only. Raises LoraFileError."""
    if not file.is_safetensors:
        return Metadata()
    header, _ = read_header(file)
    raw = header.get("__metadata__", {})
    return parse_metadata(raw if isinstance(raw, dict) else {})


def read_header(file: LoraFile) -> tuple[dict, int]:
    """A safetensors file's header and the offset where tensors begin; raises LoraFileError for a
    damaged file.
    """
    with open(file.path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if file.size < 8 or length > MAX_HEADER:
            raise LoraFileError(_damaged(file, "it does not begin like a safetensors file"))
        if 8 + length > file.size:
            raise LoraFileError(_damaged(file, "it ends within its header"))
        try:
            header = json.loads(stream.read(length))
            ends = [
                entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"
            ]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LoraFileError(
                _damaged(file, "its header is not what safetensors writes")
            ) from error
    if file.size != expected:
        raise LoraFileError(_damaged(file, f"it has {file.size} bytes of {expected}"))
    return header, 8 + length


def _damaged(file: LoraFile, problem: str) -> str:
    return f"LoRA file {shown(file.name)} is damaged: {problem}. Download or copy it again"


def load_tensors(file: LoraFile) -> dict:
    """The file's tensors by key, through core's reader with safe loading. Raises LoraFileError."""
    import comfy.utils

    if file.is_safetensors:
        read_header(file)
    try:
        return comfy.utils.load_torch_file(file.path, safe_load=True)
    except Exception as error:  # torch and safetensors raise half a dozen types for a damaged file
        raise LoraFileError(
            _damaged(file, str(error).splitlines()[0] if str(error) else "unreadable")
        ) from error


def parse_metadata(raw: Mapping[str, str]) -> Metadata:
    """The header's free-form strings (kohya's `ss_…`, the `modelspec.…` standard) as one value."""
    architecture = raw.get("modelspec.architecture", "").split("/")[0]
    base = raw.get("ss_base_model_version") or architecture or raw.get("ss_sd_model_name", "")
    title = raw.get("modelspec.title") or raw.get("ss_output_name", "")
    phrase = raw.get("modelspec.trigger_phrase", "").strip()
    return Metadata(base, (phrase,) if phrase else _frequent_tags(raw), title)


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
    """Both hashes, in one pass over the file."""
    start = read_header(file)[1] if file.is_safetensors else 0
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    with open(file.path, "rb") as stream:
        whole.update(stream.read(start))
        while chunk := stream.read(CHUNK):
            whole.update(chunk)
            if start:
                tensors.update(chunk)
    return Hashes(whole.hexdigest()[:10], tensors.hexdigest()[:12] if start else "")
