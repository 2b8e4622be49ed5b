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

from .gates import PlaceGate
from .stack import LayerStack


def with_adapters(layer: nn.Module, stack: LayerStack, gate: PlaceGate) -> Callable:
    """A replacement for `layer.forward` that adds `up (gate * (down x))` to what it returns."""
    original = layer.forward
    add = _add_convolution if isinstance(layer, nn.Conv2d) else _add_linear

    def forward(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return add(layer, stack, gate, x, original(x, *args, **kwargs))

    return forward


def _add_linear(layer: nn.Module, stack: LayerStack, gate: PlaceGate, x, y) -> torch.Tensor:
    """x `[B,T,in]` or `[B,in]`, y `[B,T,out]` or `[B,out]`, changed in place."""
    owners = stack.owners
    tokens = x.ndim == 3
    if owners:
        z = F.linear(x, stack.down.to(x))
        z *= gate.tokens(owners, x) if tokens else gate.vectors(owners, x)
    if stack.gain is not None or stack.bias is not None:
        everyone = tuple(range(_people(stack)))
        people = gate.tokens(everyone, x) if tokens else gate.vectors(everyone, x)
        y = _add_per_person(layer, stack, people, y)
    if owners:
        y.view(-1, y.shape[-1]).addmm_(z.view(-1, z.shape[-1]), stack.up.to(x))
    return y


def _add_convolution(layer: nn.Conv2d, stack: LayerStack, gate: PlaceGate, x, y) -> torch.Tensor:
    """x `[B,in,H,W]`, y `[B,out,h,w]`, changed in place."""
    owners, grid = stack.owners, (y.shape[2], y.shape[3])
    if stack.gain is not None or stack.bias is not None:
        people = gate.places(grid, tuple(range(_people(stack))), x).permute(0, 2, 3, 1)
        y = _add_per_person(layer, stack, people, y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    if not owners:
        return y
    down, up = stack.down.to(x), stack.up.to(x)
    z = F.conv2d(x, down, None, layer.stride, layer.padding, layer.dilation)
    z = z * gate.places(grid, owners, x)
    return y.add_(F.conv2d(z, up.T[:, :, None, None]))


def _add_per_person(layer, stack: LayerStack, people: torch.Tensor, y: torch.Tensor):
    """DoRA's gain on the layer's product and differences of its bias; people `[.., N]`, y `[..,
    out]`."""
    if stack.gain is not None:
        bias = 0 if layer.bias is None else layer.bias.to(y)
        y = y + (y - bias) * (people @ stack.gain.to(y))
    if stack.bias is not None:
        y = y + people @ stack.bias.to(y)
    return y


def _people(stack: LayerStack) -> int:
    return next(rows.shape[0] for rows in (stack.gain, stack.bias) if rows is not None)
