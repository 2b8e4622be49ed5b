"""LoRA tensors -> core's adapters for one model and CLIP, and how well they fit.

Core does the reading of formats (`comfy.lora.load_lora`); here its key map is cut down to what a
file can match, and what core would skip with a line in the log is counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import torch

from ..core import LohaFactors, LokrFactors, LoraFactors, factors_of

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
    its keys.
    """

    adapters: dict
    keys: frozenset[str]
    total: int


def model_key_map(model: "ModelPatcher") -> KeyMap:
    import comfy.lora

    return _key_map(comfy.lora.model_lora_keys_unet(model.model, {}), model.model)


def clip_key_map(clip: "CLIP") -> KeyMap:
    import comfy.lora

    encoder = clip.cond_stage_model
    return _key_map(comfy.lora.model_lora_keys_clip(encoder, {}), encoder)


def _key_map(targets: dict, module: torch.nn.Module) -> KeyMap:
    return KeyMap(targets, {key: weight.shape for key, weight in module.state_dict().items()})


def model_adapters(model: "ModelPatcher", tensors: Mapping[str, torch.Tensor]) -> Matched:
    """The adapters of a file (as `cache.TENSORS.load` gives it) that fit a diffusion model."""
    return match(tensors, model_key_map(model))


def clip_adapters(clip: "CLIP", tensors: Mapping[str, torch.Tensor]) -> Matched:
    """The adapters of a file that fit a text encoder."""
    return match(tensors, clip_key_map(clip))


def match(tensors: Mapping[str, torch.Tensor], key_map: KeyMap) -> Matched:
    """`comfy.lora.load_lora` for one key map, without the adapters whose shape does not fit their
    weight.
    """
    import comfy.lora

    owners = {key: _owners(key) for key in tensors}
    named = {name for names in owners.values() for name in names}
    # The order of core's map decides between two names of one weight, so it is kept.
    targets = {name: target for name, target in key_map.targets.items() if name in named}
    adapters = comfy.lora.load_lora(tensors, targets, log_missing=False)
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
    return Matched(fitting, keys, len(tensors))


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
    size = delta_size(adapter)
    if size is None:
        return True
    shape = list(shapes[key])
    if offset is not None:
        shape[offset[0]] = offset[2]
    return size == prod(shape)


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
