"""method = fused: everybody in one forward pass, adapters by place, texts by regional
cross-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.patcher_extension import WrappersMP
from torch import nn

from ..regions.weights import adapter_gates, region_weights
from .attention import Block, RegionalAttention
from .gates import PlaceGate, token_grids
from .layers import with_adapters
from .lifetime import replaced_forwards
from .patch import Row
from .stack import AdapterStack

TEXT_LAYERS = ("attn2.to_k", "attn2.to_v")


def supports(unet: nn.Module) -> bool:
    """Whether the model has the separate cross-attention that fused replaces."""
    return isinstance(unet, UNetModel) and any(blocks_of(unet))


def blocks_of(unet: nn.Module):
    """(key in `patches_replace`, layer name, block) for every block with cross-attention."""
    sides = {"input_blocks": "input", "output_blocks": "output", "middle_block": "middle"}
    for name, module in unet.named_modules():
        if not isinstance(module, BasicTransformerBlock) or module.attn2 is None:
            continue
        side, first, *_, index = name.split(".")
        number = 0 if side == "middle_block" else int(first)
        yield (sides[side], number, int(index)), name, module


@dataclass
class Fused:
    """masks `[N,H,W]` over the canvas; contexts: kind of row -> `[1,T,C]` text of each person."""

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
        with replaced_forwards((m, with_adapters(m, s, gate)) for m, s in layers):
            return call()

    def _once(self, key: tuple, build):
        if key not in self.cache:
            self.cache[key] = build()
        return self.cache[key]

    def _layers_of(self, unet: nn.Module):
        """The layers that adapters touch, looked up in the UNet that really runs, and its blocks.
        Text layers stay out: a person's K and V are made from their own text, once per run."""
        stacks = dict(self.adapters.items())
        layers = [
            (unet.get_submodule(name), stack)
            for name, stack in stacks.items()
            if not name.endswith(TEXT_LAYERS)
        ]
        blocks = [
            Block(
                key,
                module.attn2,
                stacks.get(f"{name}.attn2.to_k"),
                stacks.get(f"{name}.attn2.to_v"),
            )
            for key, name, module in blocks_of(unet)
        ]
        return layers, blocks

    def _pairs_of(self, unet: nn.Module) -> dict:
        return self._once(("pairs", id(unet)), dict)

    def _plan(self, kinds: tuple[str | None, ...], height: int, width: int, pairs: dict):
        grids = token_grids(height, width)
        ours = None
        if not all(kinds):
            ours = torch.tensor([float(kind is not None) for kind in kinds])
        gate = PlaceGate(adapter_gates(self.masks), grids, ours)
        weights = region_weights(self.masks, self.base_strength)
        return gate, RegionalAttention(weights, self.contexts, kinds, grids, pairs)

    def _replacements(self, blocks: Sequence[Block], attention: RegionalAttention, others: dict):
        """Ours for every block, around whatever somebody else put there (core looks a block up by
        its full key first, then by the key without the index)."""
        return {
            **others,
            **{
                b.key: attention.replacement(b, others.get(b.key, others.get(b.key[:2])))
                for b in blocks
            },
        }
