"""A layer's forward in which every row of the batch gets its own person's adapters, and no other's.

Two batched products, `y[row] += up[row] (down[row] x[row])`: the work does not grow with the number
of people, only with the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from .stack import LayerStack


@dataclass
class RowPeople:
    """people `[B]`: person index of each batch row; -1: none."""

    people: tuple[int, ...]
    cache: dict = field(default_factory=dict)

    def ranks(self, owners: tuple[int, ...], like: torch.Tensor):
        """Which of a LayerStack's rows each batch row takes, `[B,r]`, and `[B,r,1]` of ones and
        zeros where some take fewer than r (None where all take r). None where nobody here has any."""
        key = (owners, like.dtype, like.device)
        if key not in self.cache:
            mine = [[i for i, owner in enumerate(owners) if owner == who] for who in self.people]
            most = max(map(len, mine))
            index = torch.tensor([row + [0] * (most - len(row)) for row in mine])
            taken = torch.tensor([[[1.0]] * len(row) + [[0.0]] * (most - len(row)) for row in mine])
            self.cache[key] = None if most == 0 else (
                index.to(like.device), None if taken.all() else taken.to(like.device, like.dtype),
            )  # fmt: skip
        return self.cache[key]

    def of(self, table: torch.Tensor) -> torch.Tensor:
        """`[N,out]`, a row per person -> `[B,1,out]`; zeros where the person index is -1."""
        key = (table.dtype, table.device)
        if key not in self.cache:
            people = torch.tensor(self.people)
            mine = (people >= 0)[:, None].to(table)
            self.cache[key] = people.to(table.device), mine
        people, mine = self.cache[key]
        return (table[people] * mine)[:, None]


def with_adapters_by_row(layer: nn.Module, stack: LayerStack, rows: RowPeople) -> Callable:
    """A replacement for `layer.forward`; the wrapped one is the one found at install time."""
    original = layer.forward
    add = _add_convolution if isinstance(layer, nn.Conv2d) else _add_linear

    def forward(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return add(layer, stack, rows, x, original(x, *args, **kwargs))

    return forward


def _add_linear(layer: nn.Module, stack: LayerStack, rows: RowPeople, x, y) -> torch.Tensor:
    """x `[B,...,in]`, y `[B,...,out]`, changed in place."""
    count = len(rows.people)
    # Some models lay frames or patches into the batch: they follow each other within a row.
    tokens = x.unflatten(0, (count, -1)).flatten(1, -2)
    out = y.view(*tokens.shape[:2], -1)
    if stack.gain is not None or stack.bias is not None:
        out = stack.with_gain_and_bias(layer, out, rows.of)
    picked = rows.ranks(stack.owners, x)
    if picked is not None:
        index, taken = picked
        z = torch.bmm(tokens, stack.down.to(x)[index].transpose(1, 2))
        if taken is not None:
            z *= taken.transpose(1, 2)
        out.baddbmm_(z, stack.up.to(x)[index])
    return out.view_as(y)


def _add_convolution(layer: nn.Conv2d, stack: LayerStack, rows: RowPeople, x, y) -> torch.Tensor:
    """x `[B,in,H,W]`, y `[B,out,h,w]`, changed in place."""
    out = y.contiguous().flatten(2)
    if stack.gain is not None or stack.bias is not None:
        last = stack.with_gain_and_bias(layer, out.transpose(1, 2), rows.of)
        out = last.transpose(1, 2).contiguous()
    picked = rows.ranks(stack.owners, x)
    if picked is not None:
        index, taken = picked
        z = _down(layer, stack.down.to(x)[index], x)
        if taken is not None:
            z *= taken
        out.baddbmm_(stack.up.to(x)[index].transpose(1, 2), z)
    return out.view_as(y)


def _down(layer: nn.Conv2d, down: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """x `[B,in,H,W]` through each row's own kernels `[B,r,in,kh,kw]`: `[B,r,h*w]`."""
    if layer.kernel_size == (1, 1) and layer.stride == (1, 1):
        return torch.bmm(down.flatten(2), x.flatten(2))
    kernels, count = down.flatten(0, 1), x.shape[0]
    z = F.conv2d(
        x.reshape(1, -1, *x.shape[2:]), kernels, None, layer.stride, layer.padding,
        layer.dilation, count,
    )  # fmt: skip
    return z.view(count, down.shape[1], -1)
