"""method = fused on a model whose texts and picture share one attention: everybody in one forward
pass, texts by log-sum-exp, adapters by token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

import torch
from comfy.patcher_extension import WrappersMP
from torch import nn

from ..families.joint_attention import JointAttentionFamily, Stage
from ..families.references import each_as_the_first
from ..families.transformer import BASE, REFERENCES, Replacement, Texts
from ..lifetime import replaced_methods
from ..people import TextSees
from ..rows import BatchRow, isolate_of
from ..texts import Texts as Told
from .attention import JointAttention, UnexpectedAttentionError
from .kept_texts import KeptTexts
from .token_run import CONTEXT, TokenRun
from .tokens import TokenMap

OVERRIDE = "optimized_attention_override"
"""Core's key in transformer_options for a function that stands in for every attention."""


@dataclass
class JointFused(TokenRun[JointAttentionFamily]):
    text_sees: TextSees = TextSees.OWN

    def run(
        self,
        unet: nn.Module,
        rows: Sequence[BatchRow | None],
        call: Callable,
        args: tuple,
        options: dict,
    ):
        tokens, told = self.sequence(unet, rows, args)
        context = _context(args[CONTEXT], told, tokens.texts)
        keeps = self._keeps(rows, options)
        attention = JointAttention(
            tokens, self.text_sees, options.get(OVERRIDE), isolate_of(rows), places=tokens.cache
        )
        options[OVERRIDE] = attention.override
        self._place_texts(unet, tokens, options)
        texts = KeptTexts(tokens.texts, told, self.cache.setdefault("texts", {}))
        replacements = self._replacements(unet, tokens, attention)
        if keeps:
            replacements = chain(replacements, texts.replacements(self.family.text_modules(unet)))
        given = [*args[:CONTEXT], context, *args[CONTEXT + 1 :]]
        if any(told[0].references):
            self._keep_seen(given, told[0], tokens.texts)
        with replaced_methods(replacements):
            out = call(tuple(given))
        blocks = sum(stage is Stage.JOINT for _, stage in self.family.stages(unet))
        # A cache of others (EasyCache) may leave out the whole forward, which is its own business.
        if attention.entered and attention.calls != blocks:
            raise UnexpectedAttentionError(
                f"{attention.calls} of {blocks} blocks attended where people's texts could be "
                f"joined. Another node replaces blocks of this model (skipped layers, cached "
                f"blocks); remove it, or choose method = exact."
            )
        return out

    def _keep_seen(self, args: list, told: Told, texts: Texts) -> None:
        """Of everybody's pictures those of people who have a place here; the others' would only
        cost time."""
        having = [index for index, size in enumerate(told.references) if size]
        seen = {span.person for span in texts.spans if span.reference}
        at = self.family.place_of(REFERENCES)
        args[at] = [p for who, p in zip(having, args[at], strict=True) if who in seen] or None

    def _keeps(self, rows: Sequence[BatchRow | None], options: dict) -> bool:
        """Whether nobody else changes from step to step what the model makes of a text: neither by
        keyframes nor in attention."""
        return options.get(OVERRIDE) is None and not any(row.hooked for row in rows if row)

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
        yield from self.with_adapters(unet, tokens)
        yield from self.family.replacements(unet, tokens.texts)
        if tokens.texts.references:
            yield unet, "process_img", each_as_the_first(unet.process_img)


@dataclass
class UnwrappedFused(JointFused):
    """For a model class that calls no wrapper of its own: ours stands in its forward's place."""

    around: ClassVar[str] = WrappersMP.APPLY_MODEL

    def run(
        self,
        unet: nn.Module,
        rows: Sequence[BatchRow | None],
        call: Callable,
        args: tuple,
        options: dict,
    ):
        plain, joint = unet.forward, super().run

        def forward(x, timesteps, context, transformer_options, **more):
            own = dict(transformer_options)

            def inner(args: tuple):
                x, timesteps, context = args
                return plain(x, timesteps, context=context, transformer_options=own, **more)

            return joint(unet, rows, inner, (x, timesteps, context), own)

        with replaced_methods([(unet, "forward", forward)]):
            return call()


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
