"""LoRA tensors -> core's adapters for one model and CLIP, and how well they fit.

Core does the reading of formats (`comfy.lora.load_lora`); here its key map is cut down to what a
file can match, and what core would skip with a line in the log is counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..core import (
    AdapterFactors,
    GloraFactors,
    LohaFactors,
    LokrFactors,
    LoraFactors,
    OftFactors,
    factors_of,
)

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher
    from comfy.sd import CLIP


@dataclass(frozen=True)
class KeyMap:
    """Core's names of a model's weights as LoRA files write them, and the weights' shapes.

    A target is a weight's name, or a tuple (name, offset, …) for a slice of a fused weight.
    """

    targets: Mapping[str, str | tuple]
    shapes: Mapping[str, torch.Size]

    def __or__(self, other: "KeyMap") -> "KeyMap":
        """Both models' weights at once, as core's LoraLoader looks them up."""
        return KeyMap({**self.targets, **other.targets}, {**self.shapes, **other.shapes})


class Matched(NamedTuple):
    """The part of a file that fits a model: adapters by target, the file's keys they came from, all
    its keys; misfits: names of weights that the file means and whose shape is another.
    """

    adapters: dict
    keys: frozenset[str]
    total: int
    misfits: tuple[str, ...] = ()


def model_key_map(model: "ModelPatcher") -> KeyMap:
    import comfy.lora

    targets = comfy.lora.model_lora_keys_unet(model.model, {})
    return _key_map(with_every_style(targets), model.model)


def clip_key_map(clip: "CLIP") -> KeyMap:
    import comfy.lora

    encoder = clip.cond_stage_model
    targets = comfy.lora.model_lora_keys_clip(encoder, {})
    return _key_map(with_every_encoder_style(targets), encoder)


DOTTED = ("diffusion_model.", "transformer.", "unet.", "base_model.model.", "")
JOINED = ("lora_unet_", "lora_transformer_", "lycoris_")
"""How trainers begin a weight's name, before the model's own spelling of it or diffusers'. Not every
model has every one of them in core's map, and files have."""


def with_every_style(targets: Mapping[str, str | tuple]) -> dict:
    """Core's map, and after it the same weights under every trainer's way of writing their names."""
    known = dict(targets)
    for name, target in targets.items():
        prefix = next((p for p in DOTTED if name.startswith(p)), "")
        plain = name.removeprefix(prefix).replace(".processor.to_", ".to_")
        if name.startswith(("lora_", "lycoris_")):
            continue
        if plain.endswith(".to_out") and ".attn" in plain and name.count(".processor."):
            plain += ".0"  # core's spelling of diffusers' old processors has lost it
        for style in DOTTED if "." in plain else DOTTED[:-1]:
            known.setdefault(style + plain, target)
        for style in JOINED:
            known.setdefault(style + plain.replace(".", "_"), target)
    return known


def with_every_encoder_style(targets: Mapping[str, str | tuple]) -> dict:
    """Core's map, and after it the weights of the first, second, … encoder as diffusers, PEFT and
    kohya count them: `text_encoder_2.…`, `lora_te2_…`; the `model.` of language models with or
    without."""
    known, encoders = dict(targets), []
    for name, target in targets.items():
        encoder, inner, plain = name.removeprefix("text_encoders.").partition(".transformer.")
        if not inner or not name.startswith("text_encoders."):
            continue
        if encoder not in encoders:
            encoders.append(encoder)
        place = encoders.index(encoder)
        dotted = "text_encoder" if place == 0 else f"text_encoder_{place + 1}"
        for spelling in (plain, plain.removeprefix("model.")):
            joined = spelling.replace(".", "_")
            known.setdefault(f"{dotted}.{spelling}", target)
            known.setdefault(f"{dotted}.base_model.model.{spelling}", target)
            known.setdefault(f"lora_te{place + 1}_{joined}", target)
            if place == 0:
                known.setdefault(f"lora_te_{joined}", target)
    return known


def _key_map(targets: dict, module: torch.nn.Module) -> KeyMap:
    # Not those of the state dict alone: quantised weights are packed there.
    shapes = {key: weight.shape for key, weight in module.state_dict().items()}
    shapes |= {name: torch.Size(weight.shape) for name, weight in module.named_parameters()}
    return KeyMap(targets, shapes)


def model_adapters(model: "ModelPatcher", tensors: Mapping[str, torch.Tensor]) -> Matched:
    """The adapters of a file (as `cache.TENSORS.load` gives it) that fit a diffusion model."""
    return match(tensors, model_key_map(model))


def clip_adapters(clip: "CLIP", tensors: Mapping[str, torch.Tensor]) -> Matched:
    """The adapters of a file that fit a text encoder."""
    return match(tensors, clip_key_map(clip))


def match(tensors: Mapping[str, torch.Tensor], key_map: KeyMap) -> Matched:
    """`comfy.lora.load_lora` for one key map, without the adapters whose shape does not fit their
    weight. Raises IncompleteLayerError.
    """
    owners = {key: _owners(key) for key in tensors}
    named = {name for names in owners.values() for name in names}
    # The order of core's map decides between two names of one weight, so it is kept.
    targets = {name: target for name, target in key_map.targets.items() if name in named}
    adapters = _read(tensors, targets)
    fitting = {
        target: adapter
        for target, adapter in adapters.items()
        if _fits(adapter, target, key_map.shapes)
    }
    keys = frozenset(
        key
        for key, names in owners.items()
        if any(name in targets and targets[name] in fitting for name in names)
    )
    misfits = (t if isinstance(t, str) else t[0] for t in adapters if t not in fitting)
    return Matched(fitting, keys, len(tensors), tuple(m for m in misfits if m in key_map.shapes))


class IncompleteLayerError(ValueError):
    """A layer of a file that lacks a part of its adapter, or holds one that cannot be read."""


def _read(tensors: Mapping[str, torch.Tensor], targets: Mapping[str, str | tuple]) -> dict:
    import comfy.lora

    try:
        adapters = comfy.lora.load_lora(tensors, targets, log_missing=False)
    except KeyError as error:
        raise IncompleteLayerError(f"the key {error} is missing") from error
    except (AttributeError, IndexError, RuntimeError) as error:
        raise IncompleteLayerError(f"a layer's parts cannot be read ({error})") from error
    for target, adapter in adapters.items():
        parts = factors_of(adapter)
        if isinstance(parts, LokrFactors) and not _both_sides(parts):
            raise IncompleteLayerError(f"one side of the Kronecker product for {target} is missing")
    return adapters


def _both_sides(parts: LokrFactors) -> bool:
    """Core takes a layer for a LoKr that has any of its parts."""
    sides = (parts.w1, parts.w1_a, parts.w1_b), (parts.w2, parts.w2_a, parts.w2_b)
    return all(whole is not None or (a is not None and b is not None) for whole, a, b in sides)


def _owners(key: str) -> Iterable[str]:
    """Every name under which core may look this key up: `name.…`, or `name_lora.…` of old diffusers
    files.
    """
    names = []
    dot = key.find(".")
    while dot >= 0:
        name = key[:dot]
        names.append(name)
        if name.endswith("_lora"):
            names.append(name.removesuffix("_lora"))
        dot = key.find(".", dot + 1)
    return names


def _fits(adapter: object, target: str | tuple, shapes: Mapping[str, torch.Size]) -> bool:
    """Whether core could add the adapter to the weight; where it could not, it would log an error
    and go on.
    """
    key, offset = (target, None) if isinstance(target, str) else (target[0], target[1])
    if key not in shapes:
        return False
    shape = list(shapes[key])
    if offset is not None:
        shape[offset[0]] = offset[2]
    if isinstance(adapter, tuple):  # a difference, or a whole weight
        return list(adapter[1][0].shape) == shape
    parts = factors_of(adapter)
    if parts is not None and not _agree(parts, shape):
        return False
    size = delta_size(adapter)
    return size is None or size == prod(shape)


def _agree(parts: AdapterFactors, shape: list[int]) -> bool:
    """Whether the factors can be multiplied with each other, and with a weight of this shape."""
    match parts:
        case LoraFactors():
            up, inner = parts.up.flatten(1).shape[1], parts.down.shape[0]
            if parts.mid is not None:
                return parts.mid.shape[0] == inner and parts.mid.shape[1] == up
            return up == inner
        case LohaFactors(t1=None):
            first, second = parts.w1_a.shape[1], parts.w2_a.shape[1]
            same = parts.w1_a.shape[0] == parts.w2_a.shape[0]
            return same and parts.w1_b.shape[0] == first and parts.w2_b.shape[0] == second
        case LokrFactors():
            sides = [(parts.w1_a, parts.w1_b)]
            sides += [(parts.w2_a, parts.w2_b)] if parts.t2 is None else []
            return all(a is None or b is None or a.shape[1] == b.shape[0] for a, b in sides)
        case OftFactors():
            return prod(parts.blocks.shape[-3:-1]) == shape[0]
        case GloraFactors():
            ends = {*parts.a1.shape[:2], *parts.a2.shape[:2]}
            return prod(shape[1:]) in ends or shape[1] in ends
    return True


def delta_size(adapter: object) -> int | None:
    """How many elements an adapter adds to, where its factors say so; None where they do not."""
    match factors_of(adapter):
        case LoraFactors(reshape=None) as lora:
            kernel = lora.mid.shape[2:] if lora.mid is not None else ()
            return lora.up.shape[0] * prod(lora.down.shape[1:]) * prod(kernel)
        case LohaFactors() as loha:
            return _rank_product(loha.w1_a, loha.w1_b, loha.t1)
        case LokrFactors() as lokr:
            return _size(lokr.w1, lokr.w1_a, lokr.w1_b) * _size(
                lokr.w2, lokr.w2_a, lokr.w2_b, lokr.t2
            )
    return None


def _size(whole, left, right, tucker=None) -> int:
    """Of one side of a Kronecker product, given whole or as a product of two."""
    if whole is not None:
        return whole.numel()
    return _rank_product(left, right, tucker)


def _rank_product(left, right, tucker) -> int:
    if tucker is None:
        return left.shape[0] * right.shape[1]
    return left.shape[1] * right.shape[1] * prod(tucker.shape[2:])
