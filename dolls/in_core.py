"""The narrow nets inside core's own classes: what the exported files compute, at a tenth of their cost.

A file that ComfyUI takes for SD1.5 has every channel several times. Here core's modules get the narrow
weights instead, so every node and every way of painting runs as it does on the file; benchmarks and tests
that paint many pictures use it. `tests/dolls/test_in_core.py` holds both against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from . import export, unfold
from .networks.layers import HEAD, Attention, Conv, Down, Linear, Norm, TokenNorm, Up
from .networks.unet import ControlNet, UNet, lora_layers
from .weights import SHIPPED, Parts, read_parts

State = dict[str, Tensor]


@dataclass(frozen=True)
class Dolls:
    """What a checkpoint loader, a ControlNet loader and LoRA files give, in process."""

    model: Any
    clip: Any
    vae: Any
    control: Any
    loras: tuple[State, ...]
    """kohya's keys; by identity."""


def load(weights: Path = SHIPPED) -> Dolls:
    """All parts in a folder. Needs ComfyUI on the path.

    Raises KeyError where a part is missing."""
    import comfy.controlnet
    import comfy.sd

    parts = read_parts(weights)
    unet = _filled(UNet(), parts["unet"].state)
    model, clip, vae = comfy.sd.load_state_dict_guess_config(export.checkpoint(parts))[:3]
    put(unet, model.model.diffusion_model)
    _put_autoencoder(parts["vae"].state, vae.first_stage_model)
    net = ControlNet()
    net.load_state_dict(parts["control"].state, strict=False)
    net.tie(parts["unet"].state)
    control = comfy.controlnet.load_controlnet_state_dict(export.controlnet(parts))
    put(net, control.control_model)
    return Dolls(model, clip, vae, control, tuple(_loras(parts, unet)))


def put(narrow: nn.Module, core: nn.Module) -> None:
    """Give core's modules the narrow ones' weights, by name, in the types that core's have."""
    scales = _head_scales(narrow)
    for name, layer in narrow.named_modules():
        if isinstance(layer, (Linear, Conv, Norm, TokenNorm)):
            _put_weights(layer, core.get_submodule(name), scales.get(name, 1.0))
        if isinstance(layer, Attention):
            core.get_submodule(name).heads = layer.heads
        if isinstance(layer, (Down, Up)):
            core.get_submodule(name).channels = layer.ins.real


def _put_weights(layer: nn.Module, target: nn.Module, scale: float) -> None:
    for kind in ("weight", "bias"):
        value = getattr(layer, kind)
        if value is not None:
            value = (value.detach() * scale).to(getattr(target, kind))
            setattr(target, kind, nn.Parameter(value, requires_grad=False))
    if isinstance(layer, TokenNorm):
        target.normalized_shape = layer.normalized_shape
    if isinstance(layer, Norm):
        target.num_channels = layer.num_channels


def _put_autoencoder(state: State, core: nn.Module) -> None:
    """The encoder does without every third block; core's there has nothing to do."""
    for key, value in state.items():
        name, _, kind = key.rpartition(".")
        target = core.get_submodule(name)
        value = value.to(getattr(target, kind))
        setattr(target, kind, nn.Parameter(value, requires_grad=False))
    for block in unfold.ABSENT:
        core.taesd_encoder[block] = nn.Identity()


def _head_scales(narrow: nn.Module) -> dict[str, float]:
    """Of every `to_q`: core scales by the size that heads have, the file's have HEAD."""
    return {
        f"{name}.to_q": (layer.size / HEAD) ** 0.5
        for name, layer in narrow.named_modules()
        if isinstance(layer, Attention)
    }


def _loras(parts: Parts, unet: UNet):
    scales = _head_scales(unet)
    for n in range(1, 1 + sum(name.startswith("lora_") for name in parts)):
        state = dict(parts[f"lora_{n}"].state)
        for name, _ in lora_layers(unet):
            state[f"{name}.b"] = state[f"{name}.b"] * scales.get(name, 1.0)
        yield export.lora_kohya(state)


def _filled(net: UNet, state: State) -> UNet:
    net.load_state_dict(state)
    return net
