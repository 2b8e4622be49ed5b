"""Cross-attention in which every person is described by their own text: q once, K and V once per
run.

The outputs are summed by region before `to_out`; that layer is linear and the weights sum to 1, so
this equals running it per person and summing afterwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from comfy.ldm.modules.attention import optimized_attention
from torch import nn

from ..regions.weights import reduce_to
from .families.family import CrossAttention
from .region_gate import grid_of
from .stack import LayerStack

DENSE = 0.7
"""Share of the tokens above which a person's attention is computed on all of them: picking costs
more."""


@dataclass(frozen=True)
class Block:
    """A cross-attention and what people's LoRAs change in its `to_k` and `to_v`."""

    attention: CrossAttention
    key_stack: LayerStack | None
    value_stack: LayerStack | None


@dataclass
class RegionalAttention:
    """The replacement of attn2 for one structure of the batch.

    weights `[N+1,H,W]`: base first. contexts[kind][i] `[1,T,C]`: text of person i for that kind of
    row. kinds: for every batch row the name of its kind, or None for a row that is not ours.
    """

    weights: torch.Tensor
    contexts: Mapping[str, Sequence[torch.Tensor]]
    kinds: Sequence[str | None]
    grids: Mapping[int, tuple[int, int]]
    pairs: dict = field(default_factory=dict)
    """(block, kinds of rows, person) -> (K, V); shared over the whole run."""
    cache: dict = field(default_factory=dict)
    """Weights per grid of tokens, and runs of rows."""

    def replacement(self, block: Block, inner: Callable | None) -> Callable:
        """`fn(q, k, v, extra_options)` for this block, around a replacement that was there
        before."""

        def attend(q, k, v, options):
            if inner is not None:
                return inner(q, k, v, options)
            return optimized_attention(
                q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"),
                transformer_options=options,
            )  # fmt: skip

        def replaced(q, k, v, options):
            def of(q, k, v):
                return attend(q, k, v, options)

            grid = grid_of(q, options, self.grids)
            return self._combine(block, q, k, v, of, grid, inner is None)

        return replaced

    def _combine(self, block: Block, q, k, v, attend, grid, may_pick: bool) -> torch.Tensor:
        base, people = self._weights_at(grid, q)
        out = attend(q, k, v) * base
        for person, (weight, picked, weight_there) in enumerate(people):
            if picked is not None and not len(picked):
                continue
            for rows, kinds in self._row_groups(person):
                keys, values = self._rows_pair(block, kinds, person, q)
                mine, into = q[rows], out[rows]  # views
                if picked is None or not may_pick:
                    into.addcmul_(attend(mine, keys, values), weight)
                else:
                    part = attend(mine.index_select(1, picked), keys, values)
                    into.index_add_(1, picked, part * weight_there)
        return out

    def _row_groups(self, person: int) -> list[tuple[slice, tuple]]:
        """Runs of our rows whose texts of this person are equally long, with their kinds: a call
        each."""
        key = ("groups", person)
        if key not in self.cache:
            lengths = [self.contexts[kind][person].shape[1] if kind else 0 for kind in self.kinds]
            groups, start = [], 0
            for length, run in itertools.groupby(lengths):
                rows = slice(start, start + len(list(run)))
                start = rows.stop
                if length:
                    groups.append((rows, tuple(self.kinds[rows])))
            self.cache[key] = groups
        return self.cache[key]

    def _rows_pair(self, block: Block, kinds: tuple, person: int, q: torch.Tensor):
        """K and V `[rows,T,C]` of one person, each row with the text of its kind."""
        key = (block.attention.key, kinds, person)
        if key not in self.pairs:
            of_kind = {kind: self._pair(block, kind, person, q) for kind in dict.fromkeys(kinds)}
            self.pairs[key] = tuple(
                torch.cat([of_kind[kind][i] for kind in kinds]) for i in range(2)
            )
        return self.pairs[key]

    def _weights_at(self, grid: tuple[int, int], q: torch.Tensor):
        """The base's weight per row `[B,T,1]`, and for each person the weight `[1,T,1]`, the indices of
        the tokens where it is not zero (None when that is nearly everywhere), and the weight there."""
        key = (grid, q.dtype, q.device)
        if key not in self.cache:
            weights = reduce_to(self.weights, *grid).flatten(1)
            ours = torch.tensor([kind is not None for kind in self.kinds])
            base = torch.where(ours[:, None], weights[:1], torch.ones(1))[..., None]
            people = []
            for weight in weights[1:]:
                picked = weight.nonzero()[:, 0]
                few = picked.to(q.device) if len(picked) < DENSE * q.shape[1] else None
                weight = weight[None, :, None].to(q)
                people.append((weight, few, weight if few is None else weight[:, few]))
            self.cache[key] = (base.to(q), people)
        return self.cache[key]

    def _pair(self, block: Block, kind: str, person: int, q: torch.Tensor):
        context = self.contexts[kind][person].to(q)
        return (
            _project(block.attention.module.to_k, block.key_stack, person, context),
            _project(block.attention.module.to_v, block.value_stack, person, context),
        )


def _project(layer: nn.Module, stack: LayerStack | None, person: int, context: torch.Tensor):
    """The layer with this person's adapter alone on the person's text: `[1,T,C]` -> `[1,T,out]`."""
    out = layer(context)
    if stack is None:
        return out
    out = stack.with_gain_and_bias(layer, out, lambda table: table[person])
    mine = [i for i, owner in enumerate(stack.owners) if owner == person]
    if mine:
        out = out + F.linear(context, stack.down[mine].to(out)) @ stack.up[mine].to(out)
    return out
