"""What one person's LoRA files change in one layer of the diffusion model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from ..core import WeightPatch, is_linear, merged_weight, plain_tensor
from .kinds import changes_of
from .kinds.forms import Form, Whole, changeable
from .kinds.product import Factors

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
    """Whether a change was made from the weight as other LoRAs leave it (DoRA, whole weights)."""

    @property
    def layer(self) -> nn.Module:
        return comfy.utils.get_attr(self.model.model, f"{PREFIX}{self.name}".rstrip("."))

    def forms(self) -> tuple[Factors, list[Form]]:
        """As a product, and what is none: see kinds/. All of it is exact. ValueError for a layer of
        which one person cannot have another than the rest."""
        layer = self.layer
        if not changeable(layer):
            raise ValueError(
                f"{self.name or ' and '.join(self.tensors)}: this LoRA changes a "
                f"{type(layer).__name__}, which one person cannot have for themselves. Load the "
                f"file for everybody with MultiLoraLoader, or take it out of the prompt."
            )
        if not (is_linear(layer) or isinstance(layer, nn.Conv2d)):
            differences = (self._difference(kind, self.of(kind)) for kind in ("weight", "bias"))
            return Factors.nothing(torch.Size((0, 0))), [Whole(*differences)]
        product = Factors.nothing(layer.weight.shape, self._difference("bias", self.bias))
        forms: list[Form] = []
        for index, patch in enumerate(self.weight):
            more = self._of_patch(patch, index)
            if more is not None and _can_follow(more, product, forms):
                for change in more:
                    if isinstance(change, Factors):
                        product = product.then(change)
                    else:
                        forms.append(change)
            else:  # this and all before it, as core merges them
                product = Factors.nothing(layer.weight.shape, product.bias)
                forms = [Whole(self._difference("weight", self.weight[: index + 1]))]
        return _smallest(product, forms, layer)

    def of(self, kind: str) -> list[WeightPatch]:
        return self.weight if kind == "weight" else self.bias

    def _of_patch(self, patch: WeightPatch, index: int):
        def running() -> torch.Tensor:
            self.depends = True
            return self._running("weight", self.weight[:index])

        return changes_of(patch, self.layer.weight.shape, running)  # type: ignore[arg-type]

    def _difference(self, kind: str, patches: list[WeightPatch]) -> torch.Tensor | None:
        if not patches:
            return None
        self.depends = True
        before = self._running(kind, [])
        return merged_weight(before, patches, f"{PREFIX}{self.name}.{kind}") - before.float()

    def _running(self, kind: str, patches: list[WeightPatch]) -> torch.Tensor:
        """The tensor after everybody's LoRAs and then these patches, on the CPU."""
        key = f"{PREFIX}{self.name}.{kind}"
        shared = [WeightPatch(*patch) for patch in self.model.patches.get(key, ())]
        weight = plain_weight(self.model, key).cpu()
        return merged_weight(weight, [*shared, *patches], key) if shared or patches else weight


def _can_follow(more: Sequence, product: Factors, forms: Sequence[Form]) -> bool:
    """Whether these changes may be added to the earlier ones. A change of what the layer makes
    changes what earlier ones add to it too: a gain can do that to a product, a turn to nothing."""
    for change in more:
        if isinstance(change, Factors):
            if change.gain is not None and forms:
                return False
        elif change.turns and (forms or product.rank or product.gain is not None):
            return False
    return True


def _smallest(product: Factors, forms: list[Form], layer: nn.Module) -> tuple[Factors, list[Form]]:
    """A product that is larger than the difference itself is held as that."""
    if not product.wasteful:
        return product, forms
    whole = (product.up @ product.down.flatten(1)).view(layer.weight.shape)  # type: ignore[arg-type]
    rest = Factors.nothing(whole.shape, product.bias)
    return Factors(rest.up, rest.down, product.gain, product.bias), [*forms, Whole(whole)]


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
            change.of(kind).append(WeightPatch(strength, patch, offset=offset, function=function))
            change.files[file] = None
            change.tensors[kind] = None
    yield from changes.values()


def plain_weight(model: ModelPatcher, key: str) -> torch.Tensor:
    """The weight without any patch, where it lies: from the backup if the model is loaded patched."""
    backup = model.backup.get(key)
    weight = backup.weight if backup is not None else comfy.utils.get_attr(model.model, key)
    return plain_tensor(comfy.utils.get_attr(model.model, key.rpartition(".")[0]), weight)


def scaled_since(model: ModelPatcher, names: Sequence[str], known: Mapping[str, int]) -> bool:
    """Whether patches beyond the `known` first of each weight scale one of these layers' weights."""
    keys = [f"{PREFIX}{name}.weight" for name in names]
    later = [patch for key in keys for patch in model.patches.get(key, [])[known.get(key, 0) :]]
    return any(WeightPatch(*patch).model_strength != 1.0 for patch in later)
