"""Several LoRAs into the weights of one clone of a model and one of its CLIP."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..prompt.errors import shown
from .adapters import IncompleteLayerError, KeyMap, Matched, clip_key_map, match, model_key_map
from .cache import TENSORS
from .files import Hashes, LoraFile, LoraFileError, read_hashes, read_metadata
from .health import doubts
from .origin import looks_made_for

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import CLIP

log = logging.getLogger(__name__)
POOR_MATCH = 0.5
HASH_THREADS = 4


class LoraMismatchError(ValueError):
    """A LoRA made for another kind of model: nothing in it fits."""


@dataclass(frozen=True)
class LoraChoice:
    """A file, how strongly it acts, and the node input that asked for it (for messages)."""

    file: LoraFile
    weight: float
    clip_weight: float
    source: str = "loras"


@dataclass(frozen=True)
class LoraReport:
    """What became of one choice. `matched` of `keys` tensors in the file found a weight of their
    shape.
    """

    file: str
    strength: float
    clip_strength: float
    matched: int
    keys: int
    base_model: str
    triggers: tuple[str, ...]
    autov2: str
    autov3: str
    warning: str = ""


class _Fit(NamedTuple):
    matched: int
    keys: int
    warning: str


class Merged(NamedTuple):
    model: "ModelPatcher"
    clip: "CLIP | None"
    report: tuple[LoraReport, ...]


def merge(model: "ModelPatcher", clip: "CLIP | None", choices: Sequence[LoraChoice]) -> Merged:
    """Patch clones of `model` and `clip` with every choice, as a chain of core LoraLoaders would.

    Raises LoraFileError for a damaged file and LoraMismatchError for one of which nothing fits. A
    LoRA at strength 0 for both is not applied, as in core.
    """
    # Hashing is as much work as all the rest and needs no interpreter lock.
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        hashes = [pool.submit(read_hashes, choice.file) for choice in choices]
        try:
            merged = _patch(model, clip, choices)
        except ValueError:
            pool.shutdown(cancel_futures=True)
            raise
    return Merged(*merged[:2], tuple(map(_report, choices, merged[2], hashes)))


def _patch(
    model: "ModelPatcher", clip: "CLIP | None", choices: Sequence[LoraChoice]
) -> tuple["ModelPatcher", "CLIP | None", list[_Fit]]:
    keys = model_key_map(model)
    if clip is not None:
        keys |= clip_key_map(clip)
        clip = clip.clone()
    kind = model_kind(model) + ("" if clip else " without CLIP")
    model = model.clone()
    fits = []
    for choice in choices:
        (matched,), lines = read(choice, [keys], kind)
        fits.append(_Fit(len(matched.keys), matched.total, ". ".join(lines)))
        # Each patcher takes the adapters of its own weights.
        if choice.weight:
            model.add_patches(matched.adapters, choice.weight)
        if clip is not None and choice.clip_weight:
            clip.add_patches(matched.adapters, choice.clip_weight)
    return model, clip, fits


def model_kind(model: "ModelPatcher") -> str:
    """`SD15 model`, `SDXL model`: core's name of the architecture it detected."""
    return f"{type(model.model.model_config).__name__} model"


def read(
    choice: LoraChoice, key_maps: Sequence[KeyMap], model: str
) -> tuple[list[Matched], list[str]]:
    """What of a choice fits each of the key maps, and warnings, which are logged too. Raises
    LoraFileError for a damaged file, LoraMismatchError where nothing fits."""
    tensors = TENSORS.load(choice.file)
    try:
        found = [match(tensors, keys) for keys in key_maps]
    except IncompleteLayerError as error:
        raise LoraFileError(
            f"LoRA file {shown(choice.file.name)} is incomplete or not a LoRA: {error}. "
            "Download or copy it again"
        ) from error
    matched = frozenset[str]().union(*(each.keys for each in found))
    misfits = [name for each in found for name in each.misfits]
    lines = [_poor_match(choice, len(matched), tensors, model)]
    lines += doubts(choice.file, tensors, misfits)
    lines = [line for line in lines if line]
    for line in lines:
        log.warning(line)
    return found, lines


def _poor_match(choice: LoraChoice, matched: int, tensors: Mapping, model: str) -> str:
    """A warning where under half of a file fits; "" where enough does; LoraMismatchError where
    nothing does.
    """
    total = len(tensors)
    if matched >= POOR_MATCH * total and matched:
        return ""
    made_for = _made_for(choice.file, tensors)
    if not matched:
        raise LoraMismatchError(
            f"Input {choice.source!r}: none of the {total} keys in LoRA {shown(choice.file.name)} "
            f"fits this {model}; {made_for}. Choose a LoRA of the model's own kind"
        )
    return (
        f"Input {choice.source!r}: only {matched} of {total} keys in LoRA "
        f"{shown(choice.file.name)} fit this {model}; {made_for}"
    )


def _made_for(file: LoraFile, tensors: Mapping) -> str:
    """By what the trainer wrote, and by the keys."""
    said = read_metadata(file).base_model
    seen = " and ".join(looks_made_for(tensors))
    told = f"its metadata says it was made for {shown(said)}" if said else ""
    looks = f"its keys look like those of {seen}" if seen else ""
    return ", and ".join(filter(None, (told, looks))) or "it does not say what for"


def _report(choice: LoraChoice, fit: _Fit, hashes: Future[Hashes]) -> LoraReport:
    metadata = read_metadata(choice.file)
    return LoraReport(
        choice.file.name,
        choice.weight,
        choice.clip_weight,
        fit.matched,
        fit.keys,
        metadata.base_model,
        metadata.triggers,
        hashes.result().autov2,
        hashes.result().autov3,
        fit.warning,
    )
