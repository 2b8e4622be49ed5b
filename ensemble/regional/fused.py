"""method = fused: everybody in one forward pass, adapters by place, texts by regional
cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import ClassVar

import torch
from comfy.patcher_extension import WrappersMP
from torch import nn

from ..regions.weights import adapter_gates, picture_weights, region_weights
from .attention import Block, RegionalAttention
from .families.family import CrossAttentionFamily, Stream
from .image_prompts import ImagePrompt
from .isolated_norms import IsolatedNorms, is_untouched
from .isolation import IsolatedSelfAttention
from .layers import with_adapters
from .lifetime import replaced_methods
from .parts import on_part
from .region_gate import RegionGate
from .rows import BatchRow, followed_of, forget_places, isolate_of
from .stack import AdapterStack
from .texts import Texts


@dataclass
class Fused:
    """masks `[N,H,W]` over the canvas."""

    family: CrossAttentionFamily
    masks: torch.Tensor
    base_strength: float
    adapters: AdapterStack
    images: Sequence[ImagePrompt | None] = ()
    cache: dict = field(default_factory=dict)
    """Lives for one run: layers of the UNet that runs, K/V of the texts, gates per batch
    structure."""
    together: Sequence[Sequence[int]] = ()
    """Members of each of the last masks, which are of several people together."""

    around: ClassVar[str] = WrappersMP.DIFFUSION_MODEL

    def clear(self) -> None:
        self.cache = {}

    def run(self, unet: nn.Module, rows: Sequence[BatchRow | None], call, args, options):
        layers, blocks = self._once(("layers", id(unet)), lambda: self._layers_of(unet))
        hooked = any(row.hooked for row in rows if row)
        texts = tuple(row.texts if row else None for row in rows)
        sides = tuple(row.side if row else 0 for row in rows)
        place = next((row.canvas, row.part) for row in rows if row)  # the same for all of ours
        followed = followed_of(rows)
        forget_places(self.cache, followed, ("rows", "isolated"))
        gate, attention = self._once(
            ("rows", id(unet), place, texts, sides, hooked),
            lambda: self._plan(texts, *place, {} if hooked else self._pairs_of(unet), followed),
        )
        attention.images, attention.sides = self.images, sides
        gate.options = options
        if hooked:  # keyframes change the layers that made these K and V
            attention.pairs.clear()
        replace = dict(options.get("patches_replace", {}))
        replace["attn2"] = self._replacements(blocks, attention, replace.get("attn2", {}))
        isolate = isolate_of(rows)
        if isolate:
            replace["attn1"] = self._isolated(blocks, gate, isolate, replace.get("attn1", {}))
        options["patches_replace"] = replace
        others = options.get("patches", {}).get("attn2_patch")
        if others:
            options["patches"] = {**options["patches"], "attn2_patch": [attention.patch(others)]}
        # Lazily, so that an adapter on a norm finds the isolated norm below it.
        norms = self._norms(unet, gate, isolate) if isolate else ()
        adapted = ((m, "forward", with_adapters(m, s, gate, of)) for m, s, of in layers)
        with replaced_methods(chain(norms, adapted)):
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

    def _plan(self, texts: tuple[Texts | None, ...], canvas, part, pairs: dict, followed):
        cut = next(each.regions for each in texts if each)
        whole = self.masks if followed is None else followed
        masks = on_part(whole if cut is None else cut, canvas, part)
        grids = self.family.token_grids(*(part[:2] if part else canvas))
        ours = None
        if not all(texts):
            ours = torch.tensor([float(each is not None) for each in texts])
        people = len(masks) - len(self.together)
        gate = RegionGate(adapter_gates(masks, people), grids, ours)
        weights = region_weights(masks, self.base_strength)
        shown = picture_weights(masks, self.base_strength, self.together)
        return gate, RegionalAttention(weights, texts, grids, pairs, shown=shown)

    def _isolated(self, blocks: Sequence[Block], gate: RegionGate, isolate: float, others: dict):
        """Blocks whose self-attention somebody else replaces (PAG, SAG) stay theirs."""
        key = ("isolated", id(gate))
        attention = self._once(
            key, lambda: IsolatedSelfAttention(gate.gates, gate.grids, gate.ours)
        )
        mine = attention.replacement(isolate)
        keys = [block.attention.key for block in blocks]
        return {**{k: mine for k in keys if others.get(k[:2]) is None}, **others}

    def _norms(self, unet: nn.Module, gate: RegionGate, isolate: float):
        """Norms whose forward somebody else replaced stay theirs."""
        isolated = self._once(("isolated", "norms", id(gate)), lambda: IsolatedNorms(gate))
        for layer in self._once(("norms", id(unet)), lambda: _group_norms(unet)):
            if is_untouched(layer):
                yield from isolated.replacements(layer, isolate)

    def _replacements(self, blocks: Sequence[Block], attention: RegionalAttention, others: dict):
        """Ours for every block, around whatever somebody else put there (core looks a block up by
        its full key first, then by the key without the index)."""
        replace = dict(others)
        for block in blocks:
            key = block.attention.key
            inner = others.get(key, others.get(key[:2]))
            replace[key] = attention.replacement(block, inner)
        return replace


def _group_norms(unet: nn.Module) -> list[nn.GroupNorm]:
    return [module for module in unet.modules() if isinstance(module, nn.GroupNorm)]
