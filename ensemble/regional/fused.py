"""method = fused: everybody in one forward pass, adapters by place, texts by regional
cross-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from comfy.patcher_extension import WrappersMP
from torch import nn

from ..regions.weights import adapter_gates, region_weights
from .attention import Block, RegionalAttention
from .families.family import CrossAttentionFamily, Stream
from .layers import with_adapters
from .lifetime import replaced_forwards
from .patch import Row
from .region_gate import RegionGate
from .stack import AdapterStack


@dataclass
class Fused:
    """masks `[N,H,W]` over the canvas; contexts: kind of row -> `[1,T,C]` text of each person."""

    family: CrossAttentionFamily
    masks: torch.Tensor
    base_strength: float
    contexts: Mapping[str, Sequence[torch.Tensor]]
    adapters: AdapterStack
    cache: dict = field(default_factory=dict)
    """Lives for one run: layers of the UNet that runs, K/V of the texts, gates per batch
    structure."""

    around: ClassVar[str] = WrappersMP.DIFFUSION_MODEL

    def clear(self) -> None:
        self.cache = {}

    def run(self, unet: nn.Module, rows: Sequence[Row | None], call, args, options):
        kinds = tuple(row.kind if row else None for row in rows)
        height, width = args[0].shape[-2:]
        layers, blocks = self._once(("layers", id(unet)), lambda: self._layers_of(unet))
        hooked = any(row.hooked for row in rows if row)
        gate, attention = self._once(
            ("rows", id(unet), height, width, kinds, hooked),
            lambda: self._plan(kinds, height, width, {} if hooked else self._pairs_of(unet)),
        )
        gate.options = options
        if hooked:  # keyframes change the layers that made these K and V
            attention.pairs.clear()
        replace = dict(options.get("patches_replace", {}))
        replace["attn2"] = self._replacements(blocks, attention, replace.get("attn2", {}))
        options["patches_replace"] = replace
        with replaced_forwards((m, with_adapters(m, s, gate, of)) for m, s, of in layers):
            return call()

    def _once(self, key: tuple, build):
        if key not in self.cache:
            self.cache[key] = build()
        return self.cache[key]

    def _layers_of(self, unet: nn.Module):
        """The layers that adapters touch, looked up in the UNet that really runs, and its blocks.
        Text layers stay out: a person's K and V are made from their own text, once per run."""
        stacks = dict(self.adapters.items())
        streams = {name: self.family.stream(name) for name in stacks}
        layers = [
            (unet.get_submodule(name), stack, streams[name])
            for name, stack in stacks.items()
            if streams[name] is not Stream.TEXT
        ]
        blocks = [
            Block(attention, *(stacks.get(f"{attention.name}.{side}") for side in ("to_k", "to_v")))
            for attention in self.family.cross_attentions(unet)
        ]
        return layers, blocks

    def _pairs_of(self, unet: nn.Module) -> dict:
        return self._once(("pairs", id(unet)), dict)

    def _plan(self, kinds: tuple[str | None, ...], height: int, width: int, pairs: dict):
        grids = self.family.token_grids(height, width)
        ours = None
        if not all(kinds):
            ours = torch.tensor([float(kind is not None) for kind in kinds])
        gate = RegionGate(adapter_gates(self.masks), grids, ours)
        weights = region_weights(self.masks, self.base_strength)
        return gate, RegionalAttention(weights, self.contexts, kinds, grids, pairs)

    def _replacements(self, blocks: Sequence[Block], attention: RegionalAttention, others: dict):
        """Ours for every block, around whatever somebody else put there (core looks a block up by
        its full key first, then by the key without the index)."""
        replace = dict(others)
        for block in blocks:
            key = block.attention.key
            inner = others.get(key, others.get(key[:2]))
            replace[key] = attention.replacement(block, inner)
        return replace
