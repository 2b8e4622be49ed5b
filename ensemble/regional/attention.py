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
from .image_prompts import ImagePrompt
from .region_gate import grid_of
from .stack import LayerStack
from .texts import Texts

DENSE = 0.7
"""Share of the tokens above which a person's attention is computed on all of them: picking costs
more."""


OVERRIDE = "optimized_attention_override"
"""Core's key in transformer_options for a function that stands in for every attention."""


@dataclass(frozen=True)
class Block:
    """A cross-attention and what people's LoRAs change in its `to_k` and `to_v`."""

    attention: CrossAttention
    key_stack: LayerStack | None
    value_stack: LayerStack | None


@dataclass
class RegionalAttention:
    """The replacement of attn2 for one structure of the batch.

    weights `[N+1,H,W]`: base first. texts: everybody's for each batch row, or None for a row that is
    not ours. images, sides: pictures of people, none for nobody, and the side of CFG of each row.
    shown `[N,H,W]`: how much of them counts; None: as much as the texts.
    """

    weights: torch.Tensor
    texts: Sequence[Texts | None]
    grids: Mapping[int, tuple[int, int]]
    pairs: dict = field(default_factory=dict)
    """(block, texts of rows, person) -> (K, V); shared over the whole run."""
    cache: dict = field(default_factory=dict)
    """Weights per grid of tokens, and runs of rows."""
    images: Sequence[ImagePrompt | None] = ()
    sides: Sequence[int] = ()
    shown: torch.Tensor | None = None
    patched: Callable | None = None
    """What others' attn2 patches make of a context in the block that runs: `[B,T,C]` -> the contexts
    of K and of V. None where there are none."""

    def patch(self, others: Sequence[Callable]) -> Callable:
        """One attn2 patch for all of others', which are also applied to people's texts."""

        def apply(n, context, value, options):
            for other in others:
                n, context, value = other(n, context, value, options)
            return n, context, value

        def patch(n, context, value, options):
            self.patched = lambda mine: apply(n, mine, mine, options)[1:]
            return apply(n, context, value, options)

        return patch

    def replacement(self, block: Block, inner: Callable | None) -> Callable:
        """`fn(q, k, v, extra_options)` for this block, around a replacement that was there
        before."""

        def replaced(q, k, v, options):
            def attend(q, k, v):
                if inner is not None:
                    return inner(q, k, v, options)
                return optimized_attention(
                    q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"),
                    transformer_options=options,
                )  # fmt: skip

            grid = grid_of(q, options, self.grids)
            # Whoever else acts on attention tells rows apart by their place in the whole batch.
            whole = inner is not None or OVERRIDE in options
            return self._combine(block, q, (k, v), attend, grid, whole, options)

        return replaced

    def _combine(self, block: Block, q, plain, attend, grid, whole: bool, options) -> torch.Tensor:
        base, people = self._weights_at(grid, q)
        out = attend(q, *plain) * base
        for person, (weight, picked, weight_there) in enumerate(people):
            if picked is not None and not len(picked):
                continue
            for rows in self._row_groups(person):
                keys, values = self._rows_pair(block, rows, person, q)
                into = out[rows]  # a view
                if whole:
                    parts = attend(q, *(self._for_batch(t, rows) for t in (keys, values)))
                    into.addcmul_(parts[rows], weight)
                elif picked is None:
                    into.addcmul_(attend(q[rows], keys, values), weight)
                else:
                    part = attend(q[rows].index_select(1, picked), keys, values)
                    into.index_add_(1, picked, part * weight_there)
                self._add_image(block, q[rows], into, person, rows, grid, options)
        return out

    def _add_image(self, block: Block, q, into, person, rows: slice, grid, options) -> None:
        """The person's picture. Others' replacements see the texts only: one that adds a term of its own
        would add it twice."""
        image = self.images[person] if self.images else None
        if image is None:
            return
        shown = self.weights[1:] if self.shown is None else self.shown
        weight, picked, weight_there = self._once(
            ("shown", person, grid, q.dtype, q.device),
            lambda: _places(reduce_to(shown[person : person + 1], *grid).flatten(), q),
        )
        sides = self.sides[rows]
        if picked is None:
            into.addcmul_(image.term(block.attention, q, sides, options, self.cache), weight)
        else:
            mine = q.index_select(1, picked)
            term = image.term(block.attention, mine, sides, options, self.cache)
            into.index_add_(1, picked, term * weight_there)

    def _row_groups(self, person: int) -> list[slice]:
        """Runs of our rows whose texts of this person are equally long: a call each."""
        key = ("groups", person)
        if key not in self.cache:
            lengths = [texts.contexts[person].shape[1] if texts else 0 for texts in self.texts]
            groups, start = [], 0
            for length, run in itertools.groupby(lengths):
                rows = slice(start, start + len(list(run)))
                start = rows.stop
                if length:
                    groups.append(rows)
            self.cache[key] = groups
        return self.cache[key]

    def _for_batch(self, of_rows: torch.Tensor, rows: slice) -> torch.Tensor:
        """`[rows,T,C]` -> `[B,T,C]`; what other rows get in their place is not looked at."""
        batch = len(self.texts)
        if len(of_rows) == batch:
            return of_rows
        index = [i - rows.start if rows.start <= i < rows.stop else 0 for i in range(batch)]
        return of_rows[index]

    def _rows_pair(self, block: Block, rows: slice, person: int, q: torch.Tensor):
        """K and V `[rows,T,C]` of one person, each row with its own text."""
        texts = tuple(self.texts[rows])
        key = (block.attention.key, texts, person)
        if self.patched is not None:  # it may change from step to step
            mine = torch.cat([each.contexts[person].to(q) for each in texts])  # type: ignore[union-attr]
            contexts = self.patched(self._for_batch(mine, rows))
            return self._pair(block, person, *(context[rows].to(q) for context in contexts))
        if key not in self.pairs:
            made = {
                each: self._pair(block, person, *[each.contexts[person].to(q)] * 2)  # type: ignore[union-attr]
                for each in dict.fromkeys(texts)
            }
            self.pairs[key] = tuple(torch.cat([made[each][i] for each in texts]) for i in range(2))
        return self.pairs[key]

    def _pair(self, block: Block, person: int, context: torch.Tensor, value: torch.Tensor):
        module = block.attention.module
        return (
            _project(module.to_k, block.key_stack, person, context),
            _project(module.to_v, block.value_stack, person, value),
        )

    def _weights_at(self, grid: tuple[int, int], q: torch.Tensor):
        """The base's weight per row `[B,T,1]`, and for each person the weight `[1,T,1]`, the indices of
        the tokens where it is not zero (None when that is nearly everywhere), and the weight there."""

        def made():
            weights = reduce_to(self.weights, *grid).flatten(1)
            ours = torch.tensor([texts is not None for texts in self.texts])
            base = torch.where(ours[:, None], weights[:1], torch.ones(1))[..., None]
            return base.to(q), [_places(weight, q) for weight in weights[1:]]

        return self._once((grid, q.dtype, q.device), made)

    def _once(self, key: tuple, make: Callable):
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]


def _places(weight: torch.Tensor, q: torch.Tensor):
    """A weight `[T]` as `[1,T,1]`, where it is not zero (None: nearly everywhere), and what it is there."""
    picked = weight.nonzero()[:, 0]
    few = picked.to(q.device) if len(picked) < DENSE * q.shape[1] else None
    weight = weight[None, :, None].to(q)
    return weight, few, weight if few is None else weight[:, few]


def _project(layer: nn.Module, stack: LayerStack | None, person: int, context: torch.Tensor):
    """The layer with this person's adapter alone on the person's text: `[B,T,C]` -> `[B,T,out]`."""
    out = layer(context)
    if stack is None:
        return out
    plain = out
    out = stack.with_gain_and_bias(layer, out, lambda table: table[person])
    out = out + stack.of_person(person, layer, context, plain)
    mine = [i for i, owner in enumerate(stack.owners) if owner == person]
    if mine:
        out = out + F.linear(context, stack.down[mine].to(out)) @ stack.up[mine].to(out)
    return out
