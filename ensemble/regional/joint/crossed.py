"""method = fused on a transformer whose texts enter by a cross-attention of their own (Anima): the
picture's queries once, everybody's keys and values once per run, adapters by token.

The outputs are summed by region before the output layer; that layer is linear and the weights sum
to 1, so this equals running it per text and summing afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ..families.anima import CrossAttentionDiTFamily
from ..families.transformer import BASE, Replacement
from ..isolation import by_share, damped
from ..lifetime import replaced_methods
from ..rows import BatchRow, isolate_of
from ..texts import Texts as Told
from .token_run import CONTEXT, TokenRun
from .tokens import TokenMap


@dataclass
class CrossedFused(TokenRun[CrossAttentionDiTFamily]):
    def run(
        self,
        unet: nn.Module,
        rows: Sequence[BatchRow | None],
        call: Callable,
        args: tuple,
        options: dict,
    ):
        tokens, told = self.sequence(unet, rows, args)
        pairs = self.cache.setdefault(("pairs", id(unet)), {})
        # Others' patches and keyframes change keys and values from step to step.
        if any(row.hooked for row in rows if row) or _patched(options):
            pairs = {}
        texts = KeysAndValues(tokens, args[CONTEXT], told, pairs)
        with replaced_methods(self._replacements(unet, texts, isolate_of(rows))):
            return call()

    def _replacements(
        self, unet: nn.Module, texts: KeysAndValues, isolate: float
    ) -> Iterator[Replacement]:
        """One after the other, since what comes later may wrap what came before."""
        yield from self.family.replacements(unet, texts.tokens.texts)
        yield from self.with_adapters(unet, texts.tokens)
        for name, module in self.family.cross_attentions(unet):
            yield module, "forward", _by_region(module, name, texts)
        if isolate:
            for module in self.family.self_attentions(unet):
                yield module, "attn_op", _isolated(module.attn_op, texts.tokens, isolate)


@dataclass
class KeysAndValues:
    """base `[B,T,C]`: the scene's text. told: everybody's, for each row. pairs: what was made of
    them, by block and text."""

    tokens: TokenMap
    base: torch.Tensor
    told: tuple[Told, ...]
    pairs: dict

    def made(self, index: int, make: Callable):
        """What `make` returns for this text of the sequence, with the adapters of its person."""
        texts = self.tokens.texts
        person = texts.spans[index].person
        context = self.base
        if person != BASE:
            context = torch.cat([each.contexts[person].to(self.base) for each in self.told])
        texts.running = index
        try:
            return make(context)
        finally:
            texts.running = None

    def kept(self, name: str, index: int, make: Callable):
        """`made`, once per run."""
        key = (name, self.tokens.texts.spans[index], self.told)
        if key not in self.pairs:
            self.pairs[key] = self.made(index, make)
        return self.pairs[key]


def _patched(options: dict) -> bool:
    return bool(options.get("patches", {}).get("attn2_patch"))


def _isolated(attend: Callable, tokens: TokenMap, isolate: float) -> Callable:
    """The operation `[B,S,H,D]` -> `[B,S,H*D]` of the picture's attention to itself."""

    def isolated(q, k, v, **options):
        def one(q, k, v):
            return (attend(q, k, v, **options),)

        return damped(
            isolate, tokens.shares(q), lambda: attend(q, k, v, **options),
            lambda shares: by_share(one, q, k, v, shares, 1)[0],
        )  # fmt: skip

    return isolated


def _by_region(module: nn.Module, name: str, texts: KeysAndValues) -> Callable:
    """The cross-attention's forward, by its own steps, with a text per region."""

    def forward(x: torch.Tensor, context=None, rope_emb=None, transformer_options: dict = {}):  # noqa: B006
        # One query is enough for keys and values; patches of others expect all of them.
        some = x if _patched(transformer_options) else x[:, :1]

        def qkv(x: torch.Tensor) -> Callable:
            return lambda context: module.compute_qkv(
                x, context, rope_emb=rope_emb, transformer_options=transformer_options
            )

        out = None
        for index, (there, weight) in enumerate(texts.tokens.where(x)):
            if out is None:  # the scene's, which may change from call to call, or a person's
                q, k, v = texts.made(index, qkv(x))
            else:
                _, k, v = texts.kept(name, index, qkv(some))
            mine = q if there is None else q.index_select(1, there)
            part = module.attn_op(mine, k, v, transformer_options=transformer_options)
            part = part * weight[:, None].to(part)
            if out is None:
                out = part.new_zeros(*x.shape[:2], part.shape[-1])
            out = out + part if there is None else out.index_add_(1, there, part)
        return module.output_dropout(module.output_proj(out))

    return forward
