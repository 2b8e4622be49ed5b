"""Attention of one person's places to another's, damped for a part of sampling.

A place that is somebody's sees, in the isolated attention, that person's places and those that are
nobody's; a place that is nobody's sees all. With strength s the layer gives
`(1 - s) usual + s isolated`, so that 0 is the usual attention and 1 the isolated one, on any backend
and without a mask of size tokens x tokens. Others found that blocking throughout draws two pictures
side by side, hence a span and a strength.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from comfy.ldm.modules.attention import optimized_attention

from ..regions.weights import reduce_to
from .region_gate import grid_of
from .rows import WHOLE, Span

SOMEBODYS = 0.5
"""A place is somebody's where people's gates sum to this and more: the inner half of a feather."""


@dataclass(frozen=True)
class Isolation:
    """strength: 0 (people see each other as ever) to 1 (not at all), during `span`."""

    strength: float = 0.0
    span: Span = WHOLE

    def at(self, model, sigma: float) -> float:
        return self.strength if self.span.holds(model, sigma) else 0.0


TOGETHER = Isolation()


class Share(NamedTuple):
    """Some places (indices of tokens), and those that they see (None: all)."""

    queries: torch.Tensor
    keys: torch.Tensor | None


def shares_of(gates: torch.Tensor) -> list[Share]:
    """Who sees whom. gates `[N,T]`: how much of each token is each person's; the largest has it.
    Empty where fewer than two people have a token, so that nobody is to be kept from anybody."""
    largest, owner = gates.max(0)
    owner = torch.where(gates.sum(0) >= SOMEBODYS, owner, -1)
    owner = torch.where(largest > 0, owner, -1)
    people = [int(who) for who in owner.unique() if who >= 0]
    if len(people) < 2:
        return []
    nobodys = owner == -1
    shares = [Share(nobodys.nonzero()[:, 0], None)] if nobodys.any() else []
    for who in people:
        mine = owner == who
        shares.append(Share(mine.nonzero()[:, 0], (mine | nobodys).nonzero()[:, 0]))
    return shares


def on_device(shares: Sequence[Share], device: torch.device) -> list[Share]:
    return [
        Share(s.queries.to(device), None if s.keys is None else s.keys.to(device)) for s in shares
    ]


def by_share(
    attend: Callable, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor,
    shares: Sequence[Share], dim: int,
) -> list[torch.Tensor]:  # fmt: skip
    """`attend(q, k, v)` -> tensors whose axis `dim`, as in q, counts the queries; here every share's
    queries see that share's keys alone. The shares' queries are all tokens."""
    outs: list[torch.Tensor] = []
    for share in shares:
        keys, values = k, v
        if share.keys is not None:
            keys, values = k.index_select(dim, share.keys), v.index_select(dim, share.keys)
        parts = attend(q.index_select(dim, share.queries), keys, values)
        if not outs:
            sizes = [[*p.shape[:dim], q.shape[dim], *p.shape[dim + 1 :]] for p in parts]
            outs = [p.new_empty(size) for p, size in zip(parts, sizes, strict=True)]
        for out, part in zip(outs, parts, strict=True):
            out.index_copy_(dim, share.queries, part)
    return outs


def damped(
    strength: float, shares: Sequence[Share], usual: Callable[[], torch.Tensor],
    isolated: Callable[[Sequence[Share]], torch.Tensor],
) -> torch.Tensor:  # fmt: skip
    """`(1 - strength) usual() + strength isolated(shares)`; what counts for nothing is not computed."""
    if not strength or not shares:
        return usual()
    out = isolated(shares)
    return out if strength >= 1.0 else usual().lerp_(out, strength)


@dataclass
class IsolatedSelfAttention:
    """The replacement of attn1 in UNets. gates `[N,H,W]`, grids, ours: as RegionGate has them."""

    gates: torch.Tensor
    grids: Mapping[int, tuple[int, int]]
    ours: torch.Tensor | None
    cache: dict = field(default_factory=dict)

    def replacement(self, strength: float) -> Callable:
        """`fn(q, k, v, extra_options)`."""

        def replaced(q, k, v, options):
            def attend(q, k, v):
                out = optimized_attention(
                    q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"),
                    transformer_options=options,
                )  # fmt: skip
                return (out,)

            shares = self._shares(grid_of(q, options, self.grids), q.device)
            if not shares:
                return attend(q, k, v)[0]
            (isolated,) = by_share(attend, q, k, v, shares, 1)
            if strength >= 1.0 and self.ours is None:
                return isolated
            (usual,) = attend(q, k, v)
            if self.ours is None:
                return usual.lerp_(isolated, strength)
            return usual.lerp_(isolated, strength * self.ours.view(-1, 1, 1).to(q))

        return replaced

    def _shares(self, grid: tuple[int, int], device: torch.device) -> list[Share]:
        key = (grid, device)
        if key not in self.cache:
            gates = reduce_to(self.gates, *grid).flatten(1)
            self.cache[key] = on_device(shares_of(gates), device)
        return self.cache[key]
