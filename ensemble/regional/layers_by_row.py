"""A layer's forward in which every row of the batch gets its own person's adapters, and no other's.

Two skinny products, `y[row] += up[row] (down[row] x[row])`, batched in linear layers: the work does not
grow with the number of people, only with the number of rows.
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

    def shares(
        self, owners: tuple[int, ...], x: torch.Tensor
    ) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
        """Each person here with rows in a LayerStack: the items of x that are theirs, and those
        rows. Several items in succession may be one batch row (frames)."""
        key = ("shares", owners, len(x), x.device)
        if key not in self.cache:
            frames = len(x) // len(self.people)
            found = []
            for who in dict.fromkeys(self.people):
                mine = [i for i, owner in enumerate(owners) if owner == who]
                items = [i for i in range(len(x)) if self.people[i // frames] == who]
                if mine:
                    found.append((who, *(torch.tensor(t, device=x.device) for t in (items, mine))))
            self.cache[key] = found
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
    places = isinstance(layer, nn.Conv2d | nn.GroupNorm)
    add = _add_to_places if places else _add_linear

    def forward(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        y = original(x, *args, **kwargs)
        more = _of_forms(layer, stack, rows, x, y)
        y = add(layer, stack, rows, x, y)
        for items, part in more:
            y[items] += part
        return y

    return forward


def _of_forms(layer: nn.Module, stack: LayerStack, rows: RowPeople, x, y) -> list:
    """(items of the batch, what their person's forms add there), y as the layer itself made it."""
    shares = rows.shares(stack.form_owners, x) if stack.forms else ()
    return [(items, stack.of_person(who, layer, x[items], y[items])) for who, items, _ in shares]


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


def _add_to_places(layer: nn.Module, stack: LayerStack, rows: RowPeople, x, y) -> torch.Tensor:
    """x `[B,in,H,W]`, y `[B,out,h,w]`, changed in place. Person by person, since only the layer's
    own convolution knows how its input is padded, which other nodes change."""
    if stack.gain is not None or stack.bias is not None:
        last = stack.with_gain_and_bias(layer, y.flatten(2).transpose(1, 2), rows.of)
        y = last.transpose(1, 2).reshape(y.shape)
    if not stack.owners:
        return y
    down, up = stack.down.to(x), stack.up.to(x)
    for _, index, mine in rows.shares(stack.owners, x):
        z = layer._conv_forward(x[index], down[mine], None)  # type: ignore[operator]
        y[index] += F.conv2d(z, up[mine].T[:, :, None, None])
    return y
