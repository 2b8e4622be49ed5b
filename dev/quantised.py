"""Models whose weights are not plain, and the same models in float32: what precision is measured
with. The packing is core's own; GGUF is a stand-in of ComfyUI-GGUF's class shape."""

from __future__ import annotations

import comfy.lora
import comfy.ops
import comfy.quant_ops
import torch
from comfy.model_patcher import ModelPatcher
from torch import nn

CPU = torch.device("cpu")
PACKED = {
    "fp8 scaled": "float8_e4m3fn", "fp8 e5m2 scaled": "float8_e5m2", "mxfp8": "mxfp8",
    "nvfp4": "nvfp4", "int8": "int8_tensorwise", "int4 convrot": "convrot_w4a4",
}  # fmt: skip
"""Core's formats by `comfy/quant_ops.py`."""
CAST = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.float8_e4m3fn}
PRECISIONS = ("fp32", *CAST, *PACKED, "gguf q8")


class GgmlTensor(torch.Tensor):
    """Bytes that stand for a weight of `tensor_shape`, as ComfyUI-GGUF holds them: blocks of 32 with
    a scale of two bytes (Q8_0)."""

    tensor_type = "Q8_0"
    tensor_shape: torch.Size
    patches: list

    @property
    def shape(self) -> torch.Size:
        return self.tensor_shape

    def to(self, *args, **kwargs):
        return _like(super().to(*args, **kwargs), self)

    def clone(self, *args, **kwargs):
        return self

    def detach(self):
        return self


def _like(data: torch.Tensor, other: GgmlTensor) -> GgmlTensor:
    new = data.as_subclass(GgmlTensor)
    new.tensor_shape, new.patches = other.tensor_shape, list(other.patches)
    return new


def _q8(weight: torch.Tensor) -> GgmlTensor:
    blocks = weight.reshape(-1, 32)
    scale = (blocks.abs().amax(1, keepdim=True) / 127).half()
    rounded = (blocks / scale.float().clamp_min(1e-12)).round().clamp(-127, 127).to(torch.int8)
    data = torch.cat([scale.view(torch.uint8), rounded.view(torch.uint8)], 1)
    new = data.reshape(weight.shape[0], -1).as_subclass(GgmlTensor)
    new.tensor_shape, new.patches = weight.shape, []
    return new


class GgmlLinear(nn.Module):
    """A layer as ComfyUI-GGUF's: its weight becomes numbers only while it runs."""

    comfy_cast_weights = True

    def get_weight(self, tensor, dtype):
        if not hasattr(tensor, "tensor_type"):
            return tensor.to(dtype)
        data = tensor.as_subclass(torch.Tensor).reshape(-1, 34)
        scale = data[:, :2].contiguous().view(torch.float16).float()
        numbers = data[:, 2:].contiguous().view(torch.int8).float() * scale
        weight = numbers.reshape(tensor.tensor_shape).to(dtype)
        for patches, key in tensor.patches:
            weight = comfy.lora.calculate_weight(patches, weight, key)
        return weight

    def forward(self, x, *args, **kwargs):
        bias = None if self.bias is None else self.bias.to(x)
        return nn.functional.linear(x, self.get_weight(self.weight, x.dtype), bias)


class GgufLinear(GgmlLinear, comfy.ops.manual_cast.Linear):
    pass


def quantised(make, precision: str) -> tuple[ModelPatcher, ModelPatcher]:
    """The model that `make` makes in this precision, computing in float32, and one in float32 that
    holds the same numbers."""
    packed, plain = make(), make()
    inner, same = (p.model.diffusion_model for p in (packed, plain))
    for name, layer in list(same.named_modules()):
        if not isinstance(layer, nn.Linear) or name.startswith("llm_adapter."):
            continue
        if layer.in_features % 64 or layer.out_features % 32:
            continue
        parent, _, child = name.rpartition(".")
        made, numbers = _pack(layer, precision)
        made.bias = layer.bias
        setattr(inner.get_submodule(parent), child, made)
        layer.weight = nn.Parameter(numbers, requires_grad=False)
    packed.size = 0  # of the weights as they are now
    return packed, plain


def _pack(layer: nn.Linear, precision: str) -> tuple[nn.Module, torch.Tensor]:
    weight = layer.weight.data
    sizes = (layer.in_features, layer.out_features, layer.bias is not None)
    if precision == "gguf q8":
        made = GgufLinear(*sizes)
        made.weight = nn.Parameter(_q8(weight), requires_grad=False)
        return made, made.get_weight(made.weight, torch.float32)
    if precision in PACKED:
        algorithm = PACKED[precision]
        # As core picks them on a device without these formats: numbers again for each layer's run.
        operations = comfy.ops.mixed_precision_ops({}, torch.float32, True, set(PACKED.values()))
        made = operations.Linear(*sizes)
        layout = comfy.quant_ops.QUANT_ALGOS[algorithm]["comfy_tensor_layout"]
        made.quant_format, made.layout_type = algorithm, layout
        scale = {"scale": "recalculate"} if "8_e" in algorithm or algorithm == "nvfp4" else {}
        if algorithm == "convrot_w4a4":
            scale = {"convrot_groupsize": 64}
        tensor = comfy.quant_ops.QuantizedTensor.from_float(weight, layout, **scale)
        made.weight = nn.Parameter(tensor, requires_grad=False)
        return made, tensor.dequantize().float()
    made = comfy.ops.manual_cast.Linear(*sizes)
    made.weight = nn.Parameter(weight.to(CAST.get(precision, torch.float32)), requires_grad=False)
    return made, made.weight.data.float()
