"""All people's adapters, stacked layer by layer, as one module that ComfyUI's memory management
counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import comfy.model_management
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from .factors import MAX_ERROR, Factors, NotLowRankError, factorise
from .variants import WeightVariants

PREFIX = "diffusion_model."


@dataclass(frozen=True)
class PersonPatches:
    """What one person's LoRA files change: key -> (patch as core's load_lora parsed it,
    strength)."""

    patches: Mapping[str | tuple, tuple[tuple[object, float], ...]]


class LayerStack(nn.Module):
    """The change of one layer for all people: `y += up (G * (down x))`.

    down `[R, in(, kh, kw)]` and up `[R, out]` hold the rows of every person's factors one below the
    other; `owner[R]` says whose row each is. gain and bias `[N, out]` exist where a DoRA or a bias
    difference needs them.
    """

    def __init__(
        self, people: int, factors: Sequence[tuple[int, float, Factors]], dtype: torch.dtype
    ):
        super().__init__()
        self.people = people
        self.owners = tuple(who for who, _, f in factors for _ in range(f.up.shape[1]))
        down = torch.cat([f.down for _, _, f in factors])
        up = torch.cat([f.up.T * strength for _, strength, f in factors])
        self.down = _frozen(down, dtype)
        self.up = _frozen(up, dtype)
        self.gain = _per_person(people, [(w, s, f.gain) for w, s, f in factors], dtype)
        self.bias = _per_person(people, [(w, s, f.bias) for w, s, f in factors], dtype)


def _frozen(tensor: torch.Tensor, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(tensor.to(dtype).contiguous(), requires_grad=False)


def _per_person(people: int, parts, dtype: torch.dtype) -> nn.Parameter | None:
    parts = [(who, strength * value) for who, strength, value in parts if value is not None]
    if not parts:
        return None
    rows = torch.zeros(people, parts[0][1].shape[0])
    for who, value in parts:
        rows[who] += value
    return _frozen(rows, dtype)


class AdapterStack(nn.Module):
    """LayerStacks by the name of the layer inside the diffusion model."""

    def __init__(self, layers: Mapping[str, LayerStack]):
        super().__init__()
        self.names = tuple(layers)
        self.stacks = nn.ModuleList(layers.values())
        self.variants = WeightVariants({})
        """exact's whole weights, counted with the rest."""

    def items(self):
        return zip(self.names, self.stacks, strict=True)


def build_stack(
    model: ModelPatcher,
    people: Sequence[PersonPatches],
    dtype: torch.dtype,
    max_error: float = MAX_ERROR,
) -> tuple[AdapterStack, float]:
    """Factorise and stack every person's patches for `model`.

    Returns the AdapterStack and the mean relative error of the truncated factors (0 when all
    exact). Raises NotLowRankError for a change that no product expresses within `max_error`.
    """
    collected: dict[str, list[tuple[int, float, Factors]]] = {}
    for who, person in enumerate(people):
        for name, strength, factors in _person_factors(model, person, max_error):
            collected.setdefault(name, []).append((who, strength, factors))
    errors = [f.error for parts in collected.values() for _, _, f in parts if f.error > 0]
    layers = {name: LayerStack(len(people), parts, dtype) for name, parts in collected.items()}
    return AdapterStack(layers), sum(errors) / len(errors) if errors else 0.0


def _person_factors(model: ModelPatcher, person: PersonPatches, max_error: float):
    for key, entries in person.patches.items():
        target = Target.of(key)
        layer = comfy.utils.get_attr(model.model, (PREFIX + target.layer).rstrip("."))
        if not isinstance(layer, (nn.Linear, nn.Conv2d)):
            raise NotLowRankError(
                f"{target.layer or target.kind}: this LoRA changes a {type(layer).__name__} layer, "
                f"which has no product form. Choose method = exact."
            )
        for patch, strength in entries:
            if strength:
                factors = _layer_factors(model, layer, target, patch, max_error)
                yield target.layer, strength, factors


def _layer_factors(model, layer, target: Target, patch, max_error) -> Factors:
    if target.kind == "bias":
        difference = target.arranged(patch[1][0].float())
        return Factors(
            up=difference.new_zeros(difference.shape[0], 0),
            down=difference.new_zeros(0, *layer.weight.shape[1:]),
            bias=difference,
        )
    weight = plain_weight(model, f"{PREFIX}{target.layer}.weight")
    if target.offset is None:
        whole = factorise(patch, weight, target.layer, max_error)
        if target.arrange is None:
            return whole
        if whole.gain is not None:
            raise NotLowRankError(
                f"{target.layer}: a DoRA names this layer's rows in another order. Choose method = "
                f"exact."
            )
        return Factors(target.arranged(whole.up), whole.down, error=whole.error)
    axis, start, length = target.offset
    part = factorise(patch, weight.narrow(axis, start, length), target.layer, max_error)
    if axis != 0 or part.gain is not None:
        raise NotLowRankError(
            f"{target.layer}: the LoRA changes part of a fused layer. Choose method = exact."
        )
    up = part.up.new_zeros(weight.shape[0], part.up.shape[1])
    up[start : start + length] = part.up
    return Factors(up, part.down, error=part.error)


@dataclass(frozen=True)
class Target:
    """What core's patch key names: a tensor of a layer, all of it or a slice (axis, start, length),
    and how a file's rows are arranged into the model's (Flux and SD3 as diffusers names them have
    the halves of their last modulation swapped). A tensor outside of any layer has layer ""."""

    layer: str
    kind: str
    offset: tuple | None = None
    arrange: Callable[[torch.Tensor], torch.Tensor] | None = None

    @classmethod
    def of(cls, key: str | tuple) -> Target:
        text, *more = (key,) if isinstance(key, str) else key
        layer, _, kind = text[len(PREFIX) :].rpartition(".")
        return cls(layer, kind, *more)

    def arranged(self, rows: torch.Tensor) -> torch.Tensor:
        return rows if self.arrange is None else self.arrange(rows)


def plain_weight(model: ModelPatcher, key: str) -> torch.Tensor:
    """The weight without any patch, where it lies: from the backup if the model is loaded patched."""
    backup = model.backup.get(key)
    weight = backup.weight if backup is not None else comfy.utils.get_attr(model.model, key)
    if hasattr(weight, "dequantize"):
        weight = weight.dequantize() if weight.is_quantized else weight
    return weight.detach()


def as_patcher(module: nn.Module) -> ModelPatcher:
    """A patcher for the adapters, so that ComfyUI counts, loads and frees them beside the model."""
    return ModelPatcher(
        module,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
