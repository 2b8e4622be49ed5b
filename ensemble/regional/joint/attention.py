"""Joint attention of one picture with several texts, in one pass and without a mask.

An image token q with the region weights w_k (they sum to 1) gets
`sum_k w_k Attn(q; [text k, image])`: what it would get from one model run per text, weighted. The
image's part of all those softmaxes is the same and is computed once. With l the log-sum-exp of
each part and s the logistic function,

    Attn(q; [text k, image]) = O_I + s(l_k - l_I) (O_k - O_I),

so every text adds its own small attention and nothing of size tokens x tokens is made. Texts do
not see each other. A person's reference picture, whose tokens follow the painted picture's, goes with
their text: "text k" above is both, each sees the other, and nobody else's text or reference does. The log-sum-exp merge is that of Rabe and Staats, "Self-attention does not need
O(n^2) memory" (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ..families.joint_attention import Stage
from ..families.transformer import BASE
from ..isolation import Share, by_share, damped
from ..people import TextSees
from .softmax import Attend, kernel_for
from .tokens import Say, TokenMap, index_of

OWN_REGION = 0.5
"""A text with `text_sees = own` sees the tokens where its weight is at least this part of its
largest: the middle of a feathered border."""
LOW_PRECISION = ("attention_sage", "attention3_sage")
"""Core's attention backends whose arithmetic the user chose and that tell no log-sum-exp."""


class UnexpectedAttentionError(RuntimeError):
    """The model's attention is not what this version of Ensemble knows."""

    def __init__(self, message: str):
        super().__init__(f"BreakRegionalPrompt: {message}")


@dataclass
class JointAttention:
    """Core's `optimized_attention_override` for one forward pass.

    outer: somebody else's override, which goes on seeing every attention. isolate: how much people's
    places are kept from seeing each other. entered: whether a block
    ran; calls: joint attentions so far. places: where texts act, by device; kept by the caller.
    """

    tokens: TokenMap
    text_sees: TextSees
    outer: Callable | None = None
    isolate: float = 0.0
    stage: Stage | None = None
    entered: bool = False
    calls: int = 0
    places: dict = field(default_factory=dict)

    def override(self, func: Callable, q, k, v, heads, *args, **options):
        inner = func if self.outer is None else _through(self.outer, func)
        if self.stage is None or (self.stage is Stage.PICTURE and not self.isolate):
            return inner(q, k, v, heads, *args, **options)
        if not options.get("skip_reshape"):
            q, k, v = (t.reshape(*t.shape[:2], heads, -1).transpose(1, 2) for t in (q, k, v))
            options["skip_reshape"] = True
        self._check(self.stage, q, args, options)
        attend = None if self.outer or func.__name__ in LOW_PRECISION else kernel_for(q)
        plain = _by_kernel(attend, options) if attend else _plain(inner, heads, options)
        stage, self.stage = self.stage, Stage.PICTURE  # a second attention of the block is its own
        self.calls += stage is Stage.JOINT
        if stage is Stage.TEXTS:
            out = self._texts_alone(q, k, v, plain)
        elif stage is Stage.PICTURE:
            out = self._picture_alone(q, k, v, plain)
        elif attend is None:
            out = self._split_by_text(q, k, v, plain)
        else:
            out = self._merged(q, k, v, plain, attend, options.get("scale"))
        return out.transpose(1, 2).flatten(2)

    def _check(self, stage: Stage, q: torch.Tensor, args: tuple, options: dict) -> None:
        wanted = {
            Stage.TEXTS: sum(self.tokens.texts.attending),
            Stage.PICTURE: self.tokens.grid.tokens,
            Stage.JOINT: self.tokens.tokens,
        }[stage]
        if (args and args[0] is not None) or options.get("mask") is not None:
            raise UnexpectedAttentionError(
                "another node or the text encoder gives this model's attention a mask "
                "(Redux style model, attention mask), which method = fused cannot join with "
                "people's texts. Remove that node, or choose method = exact."
            )
        if q.shape[2] != wanted:
            raise UnexpectedAttentionError(
                f"a block attends over {q.shape[-2]} tokens where the texts and the picture have "
                f"{wanted}. Another node adds, merges or drops tokens; remove it, or choose "
                f"method = exact."
            )

    def _texts_alone(self, q, k, v, plain: Callable) -> torch.Tensor:
        """Every text to itself."""
        parts = (t.split(self.tokens.texts.attending, 2) for t in (q, k, v))
        return torch.cat([plain(*part) for part in zip(*parts, strict=True)], 2)

    def _picture_alone(self, q, k, v, plain: Callable) -> torch.Tensor:
        def attend(q, k, v):
            return (plain(q, k, v),)

        return damped(
            self.isolate, self.tokens.shares(q), lambda: plain(q, k, v),
            lambda shares: by_share(attend, q, k, v, shares, 2)[0],
        )  # fmt: skip

    def _merged(self, q, k, v, plain: Callable, attend: Attend, scale) -> torch.Tensor:
        texts, (qi, ki, vi) = self._parts(q, k, v)
        told = self._texts(texts, ki, vi, plain)
        said = []
        for (there, weight), say in zip(self.tokens.where(q), self.tokens.says, strict=True):
            kt, vt = self._said(say, texts)
            mine = qi if there is None else qi.index_select(2, there)
            said.append((there, weight, *attend(mine, kt, vt, scale)))

        def scaled(q, k, v):
            return attend(q, k, v, scale)

        out = damped(
            self.isolate, self.tokens.shares(q), lambda: _joined(scaled(qi, ki, vi), said),
            lambda shares: _joined(by_share(scaled, qi, ki, vi, shares, 2), said),
        )  # fmt: skip
        return self._in_order(told, out)

    def _split_by_text(self, q, k, v, plain: Callable) -> torch.Tensor:
        """Without a log-sum-exp: the tokens of each text's region attend to that text and the whole
        picture, once per text that says something there."""
        texts, (qi, ki, vi) = self._parts(q, k, v)
        told = self._texts(texts, ki, vi, plain)

        def summed(shares: Sequence[Share] | None = None) -> torch.Tensor:
            out = torch.zeros_like(qi)
            for index, say in enumerate(self.tokens.says):
                kt, vt = self._said(say, texts)
                for (queries, keys), weight in self._asking(index, shares, q):
                    seen = [t if keys is None else t.index_select(2, keys) for t in (ki, vi)]
                    mine = qi if queries is None else qi.index_select(2, queries)
                    part = plain(mine, torch.cat([kt, seen[0]], 2), torch.cat([vt, seen[1]], 2))
                    part = part * weight[:, None].to(part)
                    out = out + part if queries is None else out.index_add_(2, queries, part)
            return out

        out = damped(self.isolate, self.tokens.shares(q), summed, summed)
        return self._in_order(told, out)

    def _asking(self, index: int, shares: Sequence[Share] | None, like: torch.Tensor):
        """The picture's tokens that ask for what is said at `index`, as Shares, and its weight there."""
        if shares is None:
            there, weight = self.tokens.where(like)[index]
            return [(Share(there, None), weight)]
        key = ("asking", index, like.device)
        if key not in self.places:
            weight = self.tokens.says[index].weight.to(like.device)
            chosen = [Share(s.queries[weight[s.queries] > 0], s.keys) for s in shares]
            self.places[key] = [(s, weight[s.queries]) for s in chosen if len(s.queries)]
        return self.places[key]

    def _said(self, say: Say, texts: Sequence[tuple]) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values."""
        _, kt, vt = texts[say.text]
        if say.reference is None:
            return kt, vt
        _, kr, vr = texts[say.reference]
        words = self.tokens.texts.spans[say.reference].tokens
        return torch.cat([kt, kr[:, :, words:]], 2), torch.cat([vt, vr[:, :, words:]], 2)

    def _parts(self, q, k, v):
        """(q, k, v) of every text with its reference, and of the picture."""
        texts = self.tokens.texts
        sizes = [*texts.lengths, self.tokens.grid.tokens, *texts.references]
        split = [t.split(sizes, 2) for t in (q, k, v)]
        pictures = iter(range(len(texts.spans) + 1, len(sizes)))
        groups = []
        for index, span in enumerate(texts.spans):
            group = tuple(parts[index] for parts in split)
            if span.reference:
                at = next(pictures)
                group = tuple(
                    torch.cat([mine, parts[at]], 2)
                    for mine, parts in zip(group, split, strict=True)
                )
            groups.append(group)
        return groups, tuple(parts[len(texts.spans)] for parts in split)

    def _in_order(self, told: Sequence[torch.Tensor], picture: torch.Tensor) -> torch.Tensor:
        """Texts, picture, references again; told: see `_texts`."""
        spans = self.tokens.texts.spans
        parts = [
            one.split([span.tokens, span.reference], 2)
            for one, span in zip(told, spans, strict=True)
        ]
        return torch.cat([*(text for text, _ in parts), picture, *(ref for _, ref in parts)], 2)

    def _texts(self, texts, ki, vi, plain: Callable) -> list[torch.Tensor]:
        """What each text's own tokens, and its reference's, become: they see themselves and (their
        part of) the picture."""
        out = []
        for seen, (qt, kt, vt) in zip(self._seen(ki), texts, strict=True):
            keys, values = ki, vi
            if seen is not None:
                keys, values = ki.index_select(2, seen), vi.index_select(2, seen)
            out.append(plain(qt, torch.cat([kt, keys], 2), torch.cat([vt, values], 2)))
        return out

    def _seen(self, like: torch.Tensor) -> list[torch.Tensor | None]:
        """For each text: the indices of the picture's tokens that it sees (None: all)."""
        key = ("seen", like.device)
        if key not in self.places:
            self.places[key] = [
                None
                if self.text_sees is TextSees.ALL or text.person == BASE
                else index_of(w >= OWN_REGION * w.max(), w, like.device)[0]
                for text, w in zip(self.tokens.texts.spans, self.tokens.weights, strict=True)
            ]
        return self.places[key]


def _joined(image: Sequence[torch.Tensor], said: Sequence[tuple]) -> torch.Tensor:
    """The picture's attention to itself and its log-sum-exp, joined with what each text says: (where,
    weight, attention to that text, its log-sum-exp)."""
    own, own_lse = image
    out = own.clone()
    for there, weight, part, part_lse in said:
        base, lse = own, own_lse
        if there is not None:
            base, lse = (t.index_select(2, there) for t in (own, own_lse))
        share = torch.sigmoid(part_lse.float() - lse.float()) * weight
        part = (part - base) * share[..., None].to(part)
        if there is None:
            out += part
        else:
            out.index_add_(2, there, part)
    return out


def _through(outer: Callable, func: Callable) -> Callable:
    def inner(*args, **options):
        return outer(func, *args, **options)

    return inner


def _by_kernel(attend: Attend, options: dict) -> Callable:
    def plain(q, k, v):
        return attend(q, k, v, options.get("scale"))[0]

    return plain


def _plain(inner: Callable, heads: int, options: dict) -> Callable:
    """`fn(q, k, v)` of `[B,H,S,D]` -> `[B,H,S,D]` by the backend that core or another node chose."""
    wanted = {key: value for key, value in options.items() if key != "skip_output_reshape"}

    def attend(q, k, v):
        out = inner(q, k, v, heads, **wanted)
        return out.unflatten(2, (heads, -1)).transpose(1, 2)

    return attend
