"""The parts of ComfyUI outside its public API that this pack relies on, each named once.

`tests/test_core.py` checks every one against the ComfyUI at hand, so that a new release tells in
seconds what has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

USED_ATTRIBUTES = {
    "comfy.clip_vision:ClipVisionModel": ("image_size", "load_device", "model"),
    "comfy.controlnet:ControlNet": (
        "cond_hint_original", "extra_concat_orig", "previous_controlnet", "upscale_algorithm",
        "copy", "set_previous_controlnet",
    ),
    "comfy.model_base:BaseModel": (
        "concat_keys", "diffusion_model", "get_dtype", "latent_format", "manual_cast_dtype",
        "memory_required", "model_config", "model_sampling",
    ),
    "comfy.model_patcher:ModelPatcher": (
        "additional_models", "backup", "callbacks", "get_additional_models_with_key",
        "get_free_memory", "model_options", "patches", "remove_additional_models",
        "remove_callbacks_with_key", "remove_wrappers_with_key", "set_additional_models",
        "unpatch_hooks", "wrappers",
    ),
}  # fmt: skip
"""module:class -> attributes of an instance of it."""

ATTENTION_OPTIONS = ("n_heads", "attn_precision", "cond_or_uncond", "uuids", "activations_shape",
                     "block", "block_index")  # fmt: skip
"""Keys of the extra options that core gives an attn2 replacement on a UNet."""


class LoraFactors(NamedTuple):
    """`LoRAAdapter.weights`; its change is `alpha / rank * up @ down`."""

    up: torch.Tensor
    down: torch.Tensor
    alpha: float | None
    mid: torch.Tensor | None
    dora_scale: torch.Tensor | None
    reshape: list[int] | None


class LohaFactors(NamedTuple):
    """`LoHaAdapter.weights`; its change is `(w1_a @ w1_b) * (w2_a @ w2_b)`, elementwise."""

    w1_a: torch.Tensor
    w1_b: torch.Tensor
    alpha: float | None
    w2_a: torch.Tensor
    w2_b: torch.Tensor
    t1: torch.Tensor | None
    t2: torch.Tensor | None
    dora_scale: torch.Tensor | None


class LokrFactors(NamedTuple):
    """`LoKrAdapter.weights`; its change is the Kronecker product of w1 and w2, each whole or as a
    product of two."""

    w1: torch.Tensor | None
    w2: torch.Tensor | None
    alpha: float | None
    w1_a: torch.Tensor | None
    w1_b: torch.Tensor | None
    w2_a: torch.Tensor | None
    w2_b: torch.Tensor | None
    t2: torch.Tensor | None
    dora_scale: torch.Tensor | None


class GloraFactors(NamedTuple):
    """`GLoRAAdapter.weights`; its change is `W @ a1 @ a2 + b1 @ b2`, or in old files
    `W @ a2 @ a1 + b2 @ b1`."""

    a1: torch.Tensor
    a2: torch.Tensor
    b1: torch.Tensor
    b2: torch.Tensor
    alpha: float | None
    dora_scale: torch.Tensor | None


class OftFactors(NamedTuple):
    """`OFTAdapter.weights`, blocks `[n,b,b]`, or `BOFTAdapter.weights`, blocks `[stages,n,b,b]`: it turns
    what the layer makes. alpha bounds the turn."""

    blocks: torch.Tensor
    rescale: torch.Tensor | None
    alpha: float | None
    dora_scale: torch.Tensor | None


AdapterFactors = LoraFactors | LohaFactors | LokrFactors | GloraFactors | OftFactors


def factors_of(adapter: object) -> AdapterFactors | None:
    """The named factors of one of core's adapters; None for kinds that have none here."""
    from comfy import weight_adapter as core

    kinds = {
        core.LoRAAdapter: LoraFactors, core.LoHaAdapter: LohaFactors,
        core.LoKrAdapter: LokrFactors, core.GLoRAAdapter: GloraFactors,
        core.OFTAdapter: OftFactors, core.BOFTAdapter: OftFactors,
    }  # fmt: skip
    kind = kinds.get(type(adapter))
    return None if kind is None else kind(*adapter.weights)  # type: ignore[attr-defined]


class WeightPatch(NamedTuple):
    """One entry of `ModelPatcher.patches[key]`, which `comfy.lora.calculate_weight` takes.

    patch: an adapter, or (kind, tensors) with the kind "diff" or "set". offset: (axis, start,
    length) of the slice of a fused weight. function: what core does to the change before adding it.
    """

    strength: float
    patch: Any
    model_strength: float = 1.0
    offset: tuple[int, int, int] | None = None
    function: Any = None


def merged_weight(weight: torch.Tensor, patches: Sequence[WeightPatch], key: str) -> torch.Tensor:
    """`weight` with the patches merged one after the other by core's arithmetic: float32, on the
    CPU, a new tensor."""
    import comfy.lora

    weight = weight.cpu()
    return comfy.lora.calculate_weight(
        patches,
        weight.to(torch.float32, copy=True),
        key,
        original_weights={key: [(weight, lambda w, **_: w)]},
    )


def is_linear(layer: torch.nn.Module) -> bool:
    """Whether it is `y = Wx + b`. Core's layer for quantised weights (fp8 scaled, int8, nvfp4, …) is
    no `nn.Linear`, and says its widths as one does."""
    return (
        isinstance(layer, torch.nn.Linear) or {"in_features", "out_features"} <= vars(layer).keys()
    )


def plain_tensor(layer: torch.nn.Module, tensor: torch.Tensor) -> torch.Tensor:
    """A layer's weight or bias as numbers, without patches, whatever it is stored as: by core's own
    way for quantised weights, or by that of ComfyUI-GGUF's layers."""
    if hasattr(tensor, "tensor_type") and hasattr(layer, "get_weight"):
        patches, tensor.patches = tensor.patches, []  # type: ignore[attr-defined]
        try:
            return layer.get_weight(tensor, torch.float32).detach()  # type: ignore[operator]
        finally:
            tensor.patches = patches  # type: ignore[attr-defined]
    convert = getattr(layer, "convert_weight", None)
    if convert is not None:
        tensor = convert(tensor, inplace=False)
    return tensor.detach()
