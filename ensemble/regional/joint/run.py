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
from ..patch import Row
from ..people import TextSees
from ..stack import AdapterStack
from .attention import JointAttention, UnexpectedAttentionError
from .layers import with_stream_adapters
from .tokens import TokenMap

CONTEXT = 2
"""Where every supported model class takes the encoded text among the arguments of its forward."""
OVERRIDE = "optimized_attention_override"
"""Core's key in transformer_options for a function that stands in for every attention."""


@dataclass
class JointFused:
    """masks `[N,H,W]` over the canvas. texts: kind of row -> person -> `[1,S,C]`, as this model's
    `extra_conds` made them; filled at every step by what carries the texts."""

    family: JointAttentionFamily
    masks: torch.Tensor
    base_strength: float
    adapters: AdapterStack
    text_sees: TextSees = TextSees.OWN
    texts: dict[str, dict[int, torch.Tensor]] = field(default_factory=dict)
    cache: dict = field(default_factory=dict)
    """Lives for one run: tokens and layers by model, size and lengths of texts."""

    around: ClassVar[str] = WrappersMP.DIFFUSION_MODEL

    def clear(self) -> None:
        self.texts, self.cache = {}, {}

    def weights(self) -> torch.Tensor:
        """`[N+1,H,W]`, the base first."""
        if "weights" not in self.cache:
            self.cache["weights"] = region_weights(self.masks, self.base_strength)
        return self.cache["weights"]

    def heard(self) -> list[int]:
        """Whose texts say something somewhere, BASE among them: the others are left out."""
        return [i + BASE for i, weight in enumerate(self.weights()) if weight.any()]

    def lengths(self, kind: str) -> tuple[int, ...]:
        """Tokens of every person's text for this kind of row: rows of a batch must agree in it."""
        return tuple(text.shape[1] for _, text in sorted(self.texts.get(kind, {}).items()))

    def run(self, unet: nn.Module, rows: Sequence[Row], call: Callable, args: tuple, options: dict):
        if args[0].ndim == 5 and args[0].shape[2] > 1:
            raise ValueError(
                f"BreakRegionalPrompt: the latent holds {args[0].shape[2]} frames, and people have "
                f"their places in one picture. Use a latent of a single frame."
            )
        context = self._context(args[CONTEXT], rows)
        tokens = self._tokens(unet, args[0], args[CONTEXT].shape[1], rows[0].kind)
        attention = JointAttention(
            tokens, self.text_sees, options.get(OVERRIDE), places=tokens.cache
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

    def _context(self, context: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
        """`[B,S,C]`: for every row the base's text and its own kind of everybody's."""
        heard = self.heard()
        people = [person for person in heard if person != BASE]
        texts = [
            torch.cat([self.texts[row.kind][person].to(context) for person in people], 1)
            for row in (rows if people else ())
        ]
        parts = [context] if BASE in heard else []
        return torch.cat([*parts, *([torch.cat(texts)] if texts else [])], 1)

    def _tokens(self, unet: nn.Module, latent: torch.Tensor, base: int, kind: str) -> TokenMap:
        lengths = (base, *self.lengths(kind))
        key = ("tokens", id(unet), *latent.shape[-2:], lengths)
        if key not in self.cache:
            grid = self.family.grid(unet, *latent.shape[-2:])
            heard = self.heard()
            spans = tuple(
                TextSpan(i, lengths[i + 1], self.family.text_tokens(unet, lengths[i + 1]))
                for i in heard
            )
            weights = self.weights()[[i + 1 for i in heard]]
            self.cache[key] = TokenMap(
                Texts(spans), grid, grid.of(weights), grid.of(adapter_gates(self.masks))
            )
        return self.cache[key]

    def _place_texts(self, unet: nn.Module, tokens: TokenMap, options: dict) -> None:
        """Texts' positions by core's `post_input` patch, after those of others."""

        def restart(values: Mapping) -> Mapping:
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


def _staged(forward: Callable, stage: Stage, attention: JointAttention) -> Callable:
    def staged(*args, **kwargs):
        before, attention.stage = attention.stage, stage
        attention.entered = True
        try:
            return forward(*args, **kwargs)
        finally:
            attention.stage = before

    return staged
