"""A layer's forward with everybody's adapters added: two skinny products, whatever the number of
people.

The wrapped forward is the one found at install time, so weights that ComfyUI casts, offloads or
quantises stay its own business, and patches of others below ours keep working.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .families.family import Stream
from .region_gate import RegionGate
from .stack import LayerStack


def with_adapters(
    layer: nn.Module, stack: LayerStack, gate: RegionGate, stream: Stream
) -> Callable:
    """A replacement for `layer.forward` that adds `up (gate * (down x))` to what it returns."""
    original = layer.forward
    gates = gate.vectors if stream is Stream.VECTOR else gate.tokens

    def forward(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        y = original(x, *args, **kwargs)
        if isinstance(layer, nn.Conv2d | nn.GroupNorm):
            return _add_to_places(layer, stack, gate, x, y)
        return _add_linear(layer, stack, gates, x, y)

    return forward


def _add_linear(layer: nn.Module, stack: LayerStack, gates: Callable, x, y) -> torch.Tensor:
    """x `[B,T,in]` or `[B,in]`, y `[B,T,out]` or `[B,out]`, changed in place."""
    if stack.owners:
        z = F.linear(x, stack.down.to(x))
        z *= gates(stack.owners, x)
    plain = y
    if stack.gain is not None or stack.bias is not None:
        people = gates(tuple(range(stack.people)), x)
        y = stack.with_gain_and_bias(layer, y, lambda table: people @ table)
    if stack.forms:
        y = stack.with_forms(layer, x, plain, y, gates(stack.form_owners, x))
    if stack.owners:
        y.view(-1, y.shape[-1]).addmm_(z.view(-1, z.shape[-1]), stack.up.to(x))
    return y


def _add_to_places(layer: nn.Module, stack: LayerStack, gate: RegionGate, x, y) -> torch.Tensor:
    """x `[B,in,H,W]`, y `[B,out,h,w]`, changed in place."""
    owners, grid, plain = stack.owners, (y.shape[2], y.shape[3]), y
    if stack.gain is not None or stack.bias is not None:
        people = gate.pixels(grid, tuple(range(stack.people)), x).permute(0, 2, 3, 1)
        last = y.permute(0, 2, 3, 1)
        y = stack.with_gain_and_bias(layer, last, lambda table: people @ table).permute(0, 3, 1, 2)
    if stack.forms:
        y = stack.with_forms(layer, x, plain, y, gate.pixels(grid, stack.form_owners, x), 1)
    if not owners:
        return y
    down, up = stack.down.to(x), stack.up.to(x)
    # As the layer pads, which other nodes change: a seamless picture is a ring.
    z = layer._conv_forward(x, down, None)  # type: ignore[operator]
    z = z * gate.pixels(grid, owners, x)
    return y.add_(F.conv2d(z, up.T[:, :, None, None]))
