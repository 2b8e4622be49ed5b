"""method = fused on a model whose texts and picture share one attention: everybody in one forward
pass, texts by log-sum-exp, adapters by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from comfy.patcher_extension import WrappersMP
from torch import nn

from ...regions.weights import adapter_gates, region_weights
from ..families.joint_attention import (
    BASE,
    JointAttentionFamily,
    Replacement,
    Stage,
    Texts,
    TextSpan,
)
from ..lifetime import replaced_methods
from ..parts import on_part
from ..people import TextSees
from ..rows import BatchRow
from ..stack import AdapterStack
from ..texts import Texts as Told
from .attention import JointAttention, UnexpectedAttentionError
from .layers import with_stream_adapters
from .tokens import TokenMap

CONTEXT = 2
"""Where every supported model class takes the encoded text among the arguments of its forward."""
OVERRIDE = "optimized_attention_override"
"""Core's key in transformer_options for a function that stands in for every attention."""


@dataclass
class JointFused:
    """masks `[N,H,W]` over the canvas."""

    family: JointAttentionFamily
    masks: torch.Tensor
    base_strength: float
    adapters: AdapterStack
    text_sees: TextSees = TextSees.OWN
    cache: dict = field(default_factory=dict)
    """Lives for one run: tokens and layers by model, size and lengths of texts."""

    around: ClassVar[str] = WrappersMP.DIFFUSION_MODEL

    def clear(self) -> None:
        self.cache = {}

    def run(
        self,
        unet: nn.Module,
        rows: Sequence[BatchRow | None],
        call: Callable,
        args: tuple,
        options: dict,
    ):
        if args[0].ndim == 5 and args[0].shape[2] > 1:
            raise ValueError(
                f"BreakRegionalPrompt: the latent holds {args[0].shape[2]} frames, and people have "
                f"their places in one picture. Use a latent of a single frame."
            )
        # Core batches rows only where their part of the canvas and their texts' lengths agree, so
        # that all are ours and any of them speaks for all.
        told = [row.texts for row in rows if row and row.texts]
        row = next(row for row in rows if row)
        tokens = self._tokens(
            unet, args[0], args[CONTEXT].shape[1], (row.canvas, row.part), told[0]
        )
        context = _context(args[CONTEXT], told, tokens.texts)
        attention = JointAttention(
            tokens, self.text_sees, options.get(OVERRIDE), row.isolate, places=tokens.cache
        )
        options[OVERRIDE] = attention.override
        self._place_texts(unet, tokens, options)
        with replaced_methods(self._replacements(unet, tokens, attention)):
            out = call((*args[:CONTEXT], context, *args[CONTEXT + 1 :]))
        blocks = sum(stage is Stage.JOINT for _, stage in self.family.stages(unet))
        # A cache of others (EasyCache) may leave out the whole forward, which is its own business.
        if attention.entered and attention.calls != blocks:
            raise UnexpectedAttentionError(
                f"{attention.calls} of {blocks} blocks attended where people's texts could be "
                f"joined. Another node replaces blocks of this model (skipped layers, cached "
                f"blocks); remove it, or choose method = exact."
            )
        return out

    def _tokens(self, unet: nn.Module, latent: torch.Tensor, base: int, place, told: Told):
        """The sequence with the base's text of `base` tokens and everybody's. Texts that say nothing
        anywhere are left out."""
        lengths = (base, *told.lengths)
        key = ("tokens", id(unet), *latent.shape[-2:], lengths, place, told.regions)
        if key not in self.cache:
            masks = on_part(self.masks if told.regions is None else told.regions, *place)
            grid = self.family.grid(unet, *latent.shape[-2:])
            weights = region_weights(masks, self.base_strength)
            heard = [i for i, weight in enumerate(weights) if weight.any()]
            spans = tuple(
                TextSpan(i + BASE, lengths[i], self.family.text_tokens(unet, lengths[i]))
                for i in heard
            )
            self.cache[key] = TokenMap(
                Texts(spans), grid, grid.of(weights[heard]), grid.of(adapter_gates(masks))
            )
        return self.cache[key]

    def _place_texts(self, unet: nn.Module, tokens: TokenMap, options: dict) -> None:
        """Texts' positions by core's `post_input` patch, after those of others."""

        def restart(values: Mapping) -> Mapping:
            if values["txt_ids"].shape[1] != tokens.texts.tokens:
                raise UnexpectedAttentionError(
                    "another node lays tokens of its own before or behind people's texts (USO "
                    "style reference), so that it is not known whose they are. Remove it, or "
                    "choose method = exact."
                )
            ids = self.family.text_positions(unet, values["txt_ids"], tokens.texts)
            return {**values, "txt_ids": ids}

        patches = dict(options.get("patches", {}))
        patches["post_input"] = [*patches.get("post_input", ()), restart]
        options["patches"] = patches

    def _replacements(
        self, unet: nn.Module, tokens: TokenMap, attention: JointAttention
    ) -> Iterator[Replacement]:
        """One after the other, since what comes later may wrap what came before."""
        for block, stage in self.family.stages(unet):
            yield block, "forward", _staged(block.forward, stage, attention)
        for layer, stack, rule in self._layers(unet):
            yield layer, "forward", with_stream_adapters(layer, stack, rule, tokens)
        yield from self.family.replacements(unet, tokens.texts)

    def _layers(self, unet: nn.Module) -> list:
        """The layers that adapters touch, looked up in the model that really runs."""
        key = ("layers", id(unet))
        if key not in self.cache:
            self.cache[key] = [
                (unet.get_submodule(name), stack, *self.family.rules_of(name))
                for name, stack in self.adapters.items()
            ]
        return self.cache[key]


def _context(base: torch.Tensor, told: Sequence[Told], texts: Texts) -> torch.Tensor:
    """`[B,S,C]`: for every row the base's text and its own of everybody's, as far as `texts` has
    them."""
    people = [span.person for span in texts.spans if span.person != BASE]
    parts = [base] if len(people) < len(texts.spans) else []
    for person in people:
        parts.append(torch.cat([each.contexts[person].to(base) for each in told]))
    return torch.cat(parts, 1)


def _staged(forward: Callable, stage: Stage, attention: JointAttention) -> Callable:
    def staged(*args, **kwargs):
        before, attention.stage = attention.stage, stage
        attention.entered = True
        try:
            return forward(*args, **kwargs)
        finally:
            attention.stage = before

    return staged
