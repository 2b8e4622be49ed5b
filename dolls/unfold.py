"""The narrow nets as the state dicts that ComfyUI takes, exactly (see networks/layout.py)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .networks.layers import Conv, Linear, Norm, TokenNorm

State = dict[str, Tensor]
_TAESD = 64  # channels of TAESD everywhere
ABSENT = (5, 9, 13)
"""TAESD's blocks that the encoder does without."""


def net(narrow: nn.Module) -> State:
    """The UNet's or the ControlNet's weights under core's keys, float32 on the CPU."""
    state: State = {}
    for name, layer in narrow.named_modules():
        if not isinstance(layer, (Linear, Conv, Norm, TokenNorm)):
            continue
        weight = layer.outs.spread(_plain(layer.weight), 0)
        if isinstance(layer, (Linear, Conv)):
            weight = layer.ins.spread(weight, 1, share=True)
        state[f"{name}.weight"] = weight
        if layer.bias is not None:
            state[f"{name}.bias"] = layer.outs.spread(_plain(layer.bias), 0)
    return state


def lora(layers: list[tuple[str, Linear]], factors: State) -> State:
    """A LoRA's factors `<layer>.a` `[rank,in]` and `<layer>.b` `[out,rank]` likewise."""
    state: State = {}
    for name, layer in layers:
        state[f"{name}.a"] = layer.ins.spread(_plain(factors[f"{name}.a"]), 1, share=True)
        state[f"{name}.b"] = layer.outs.spread(_plain(factors[f"{name}.b"]), 0)
    return state


def autoencoder(narrow: State) -> State:
    """TAESD's 64 channels: the rest is zeros, and so are the blocks that the encoder does without.
    What a block is given has passed a ReLU, or is given to a whole one first; without weights it
    then adds nothing and changes nothing."""
    state: State = {}
    for key, value in narrow.items():
        last = key.startswith(("taesd_encoder.14.", "taesd_decoder.19."))
        outer = value.shape[0] if last else _TAESD
        value = _grown(_plain(value), 0, outer)
        if value.ndim == 4 and not key.startswith(("taesd_encoder.0.", "taesd_decoder.1.")):
            value = _grown(value, 1, _TAESD)
        state[key] = value
    for block in ABSENT:
        for i in (0, 2, 4):
            name = f"taesd_encoder.{block}.conv.{i}"
            state[f"{name}.weight"] = torch.zeros(_TAESD, _TAESD, 3, 3)
            state[f"{name}.bias"] = torch.zeros(_TAESD)
    return state


def _plain(value: Tensor) -> Tensor:
    return value.detach().float().cpu()


def _grown(value: Tensor, dim: int, size: int) -> Tensor:
    """With zeros behind, to `size` along `dim`."""
    behind = [0] * (2 * value.ndim)
    behind[2 * (value.ndim - 1 - dim) + 1] = size - value.shape[dim]
    return F.pad(value, behind)
