"""What one person's LoRA files change in one layer of the diffusion model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ..core import WeightPatch, merged_weight
from .dense import CHANGEABLE
from .factors import Factors, NotLowRankError, factorise

PREFIX = "diffusion_model."


class LoraPatch(NamedTuple):
    """What one file does to one weight: the patch as core's `load_lora` parsed it."""

    patch: object
    strength: float
    file: str = ""


Patches = Mapping[str | tuple, Sequence[LoraPatch]]
"""Core's patch key -> what a person's files do there, in the order of the files."""


@dataclass
class LayerChange:
    """One layer and a person's patches of its weight and bias, in the order of the files."""

    model: ModelPatcher
    name: str
    weight: list[WeightPatch] = field(default_factory=list)
    bias: list[WeightPatch] = field(default_factory=list)
    files: dict[str, None] = field(default_factory=dict)
    tensors: dict[str, None] = field(default_factory=dict)
    depends: bool = False
    """Whether a product was made from the weight as other LoRAs leave it (DoRA)."""

    @property
    def layer(self) -> nn.Module:
        return comfy.utils.get_attr(self.model.model, f"{PREFIX}{self.name}".rstrip("."))

    def factors(self, max_error: float) -> Factors:
        """As a product. NotLowRankError where there is none within `max_error`."""
        layer = self.layer
        if not isinstance(layer, (nn.Linear, nn.Conv2d)):
            raise NotLowRankError(
                f"{self.name or ' and '.join(self.tensors)}: this LoRA changes a "
                f"{type(layer).__name__} layer, which has no "
                f"product form. Choose method = exact."
            )
        shape, key = layer.weight.shape, f"{PREFIX}{self.name}.weight"
        whole = Factors.nothing(shape, self._difference("bias", self.bias))
        for index, patch in enumerate(self.weight):

            def running(before: int = index) -> torch.Tensor:
                self.depends = True
                return self._running("weight", self.weight[:before])

            whole = whole.then(factorise(patch, shape, running, key=key, max_error=max_error))
        return whole

    def whole(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The differences of weight and bias as they are, float32; None for one that stays.
        ValueError for a layer of which one person cannot have another than the rest."""
        layer = self.layer
        if not isinstance(layer, CHANGEABLE):
            raise ValueError(
                f"{self.name or ' and '.join(self.tensors)}: this LoRA changes a "
                f"{type(layer).__name__}, which one person cannot have for themselves. Load the "
                f"file for everybody with MultiLoraLoader, or take it out of the prompt."
            )
        return self._difference("weight", self.weight), self._difference("bias", self.bias)

    def _difference(self, kind: str, patches: list[WeightPatch]) -> torch.Tensor | None:
        if not patches:
            return None
        before = self._running(kind, [])
        return merged_weight(before, patches, f"{PREFIX}{self.name}.{kind}") - before.float()

    def _running(self, kind: str, patches: list[WeightPatch]) -> torch.Tensor:
        """The tensor after everybody's LoRAs and then these patches, on the CPU."""
        key = f"{PREFIX}{self.name}.{kind}"
        shared = [WeightPatch(*patch) for patch in self.model.patches.get(key, ())]
        weight = plain_weight(self.model, key).cpu()
        return merged_weight(weight, [*shared, *patches], key) if shared or patches else weight


def layer_changes(model: ModelPatcher, patches: Patches) -> Iterator[LayerChange]:
    """Every layer that the patches change; those of strength 0 change nothing."""
    changes: dict[str, LayerChange] = {}
    for key, entries in patches.items():
        text, *more = (key,) if isinstance(key, str) else key
        name, _, kind = text[len(PREFIX) :].rpartition(".")  # a tensor of no layer has name ""
        offset, function, *_ = (*more, None, None)
        for patch, strength, file in entries:
            if not strength:
                continue
            change = changes.setdefault(name, LayerChange(model, name))
            into = change.weight if kind == "weight" else change.bias
            into.append(WeightPatch(strength, patch, offset=offset, function=function))
            change.files[file] = None
            change.tensors[kind] = None
    yield from changes.values()


def plain_weight(model: ModelPatcher, key: str) -> torch.Tensor:
    """The weight without any patch, where it lies: from the backup if the model is loaded patched."""
    backup = model.backup.get(key)
    weight = backup.weight if backup is not None else comfy.utils.get_attr(model.model, key)
    if hasattr(weight, "dequantize"):
        weight = weight.dequantize() if weight.is_quantized else weight
    return weight.detach()


def scaled_since(model: ModelPatcher, names: Sequence[str], known: Mapping[str, int]) -> bool:
    """Whether patches beyond the `known` first of each weight scale one of these layers' weights."""
    keys = [f"{PREFIX}{name}.weight" for name in names]
    later = [patch for key in keys for patch in model.patches.get(key, [])[known.get(key, 0) :]]
    return any(WeightPatch(*patch).model_strength != 1.0 for patch in later)
