"""All people's adapters, stacked layer by layer, as one module that ComfyUI's memory management
counts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

from .changes import LayerChange, Patches, layer_changes
from .kinds.forms import Form, Whole
from .kinds.product import Factors

Spread = Callable[[torch.Tensor], torch.Tensor]
"""`[N,out]`, a row per person -> how much of them acts at each place, `[..., out]`."""


class LayerStack(nn.Module):
    """The change of one layer for all people: `y += up (G * (down x))`.

    down `[R, in(, kh, kw)]` and up `[R, out]` hold the rows of every person's factors one below the
    other; `owners[R]` is the person index of each row. gain and bias `[N, out]` exist where a DoRA
    or a bias difference needs them. forms: changes that are no product (LoKr, OFT, whole
    differences), of the people in `form_owners`.
    """

    def __init__(
        self, people: int, factors: Sequence[tuple[int, Factors]], dtype: torch.dtype,
        forms: Sequence[tuple[int, Form]] = (),
    ):  # fmt: skip
        super().__init__()
        self.people = people
        self.form_owners = tuple(who for who, _ in forms)
        self.forms = nn.ModuleList(form for _, form in forms).to(dtype)
        self.owners = tuple(who for who, f in factors for _ in range(f.up.shape[1]))
        self.down = _frozen(torch.cat([f.down for _, f in factors]), dtype)
        self.up = _frozen(torch.cat([f.up.T for _, f in factors]), dtype)
        self.gain = _per_person(people, [(who, f.gain) for who, f in factors], dtype)
        self.bias = _per_person(people, [(who, f.bias) for who, f in factors], dtype)

    def with_gain_and_bias(self, layer: nn.Module, y: torch.Tensor, spread: Spread) -> torch.Tensor:
        """y `[..., out]` with DoRA's gain on the layer's product and the differences of its bias."""
        if self.gain is not None:
            bias = 0 if layer.bias is None else layer.bias.to(y)
            y = y + (y - bias) * spread(self.gain.to(y))  # type: ignore[operator]
        if self.bias is not None:
            y = y + spread(self.bias.to(y))
        return y

    def with_forms(
        self, layer: nn.Module, x: torch.Tensor, plain: torch.Tensor, y: torch.Tensor,
        gate: torch.Tensor, channel: int = -1,
    ) -> torch.Tensor:  # fmt: skip
        """y with what `forms` add; plain: y as the layer itself made it. gate: how strongly each of
        `form_owners` acts, along the axis `channel`, broadcasting against y."""
        for index, form in enumerate(self.forms):
            y = torch.addcmul(y, form(layer, x, plain), gate.narrow(channel, index, 1))
        return y

    def of_person(self, person: int, layer: nn.Module, x: torch.Tensor, plain: torch.Tensor):
        """What this person's forms add to what the layer itself made; 0 where there are none."""
        mine = [f for who, f in zip(self.form_owners, self.forms, strict=True) if who == person]
        return sum(form(layer, x, plain) for form in mine)


def _frozen(tensor: torch.Tensor, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(tensor.to(dtype).contiguous(), requires_grad=False)


def _per_person(people: int, parts, dtype: torch.dtype) -> nn.Parameter | None:
    parts = [(who, value) for who, value in parts if value is not None]
    if not parts:
        return None
    rows = torch.zeros(people, parts[0][1].shape[0])
    for who, value in parts:
        rows[who] += value
    return _frozen(rows, dtype)


class Source(NamedTuple):
    """What `stack_adapters` made an AdapterStack of; patches: core's name for the model's own."""

    patches: uuid.UUID
    people: Sequence[Patches]
    dtype: torch.dtype


class AdapterStack(nn.Module):
    """LayerStacks by the name of the layer inside the diffusion model. source: what it was made of,
    where it depends on the other patches of the model."""

    def __init__(self, layers: Mapping[str, LayerStack], source: Source | None = None):
        super().__init__()
        self.names = tuple(layers)
        self.stacks = nn.ModuleList(layers.values())
        self.source = source

    def follow(self, model: ModelPatcher) -> None:
        """Make anew, in place, what depends on the model's other patches, if those are others."""
        source = self.source
        if source is not None and source.patches != model.patches_uuid:
            fresh = stack_adapters(model, source.people, source.dtype)
            for mine, new in zip(self.parameters(), fresh.parameters(), strict=True):
                mine.data.copy_(new)
            self.source = fresh.source

    @property
    def changes_anything(self) -> bool:
        return bool(self.names)

    @property
    def whole_bytes(self) -> int:
        """What the whole differences take."""
        wholes = (m for m in self.modules() if isinstance(m, Whole))
        return sum(p.numel() * p.element_size() for m in wholes for p in m.parameters())

    def items(self):
        return zip(self.names, self.stacks, strict=True)


def stack_adapters(
    model: ModelPatcher, people: Sequence[Patches], dtype: torch.dtype
) -> AdapterStack:
    """Everybody's changes of `model`. A ValueError for what one person cannot have names the person
    and their files."""
    products: dict[str, list[tuple[int, Factors]]] = {}
    forms: dict[str, list[tuple[int, Form]]] = {}
    depends = False
    for who, patches in enumerate(people):
        for change in layer_changes(model, patches):
            try:
                product, more = change.forms()
            except ValueError as error:
                raise ValueError(f"{_whose(who, change)}: {error}") from error
            products.setdefault(change.name, []).append((who, product))
            # In the compute type at once: whole differences in float32 would be twice the memory.
            forms.setdefault(change.name, []).extend((who, form.to(dtype)) for form in more)
            depends = depends or change.depends
    layers = {
        name: LayerStack(len(people), parts, dtype, forms[name]) for name, parts in products.items()
    }
    return AdapterStack(layers, Source(model.patches_uuid, people, dtype) if depends else None)


def _whose(who: int, change: LayerChange) -> str:
    files = " and ".join(filter(None, change.files))
    return f"Person {who + 1}, LoRA {files}" if files else f"Person {who + 1}"


def as_patcher(module: nn.Module) -> ModelPatcher:
    """A patcher for the adapters, so that ComfyUI counts, loads and frees them beside the model."""
    return ModelPatcher(
        module,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def compute_dtype(model: ModelPatcher) -> torch.dtype:
    """The type activations have inside the model; adapters are kept in it, never in fp8."""
    return model.model.manual_cast_dtype or model.model.get_dtype()
