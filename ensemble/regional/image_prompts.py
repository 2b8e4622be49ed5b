"""A person's picture as a term of cross-attention (IP-Adapter): `Attn(Q, K, V) + s Attn(Q, K', V')`, with
K' and V' made of the picture's own tokens (Ye et al. 2023, arXiv:2308.06721, equation 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from comfy.ldm.modules.attention import optimized_attention

from .families.family import CrossAttention


@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """pairs: name of each cross-attention -> K' and V', each `[2,T,C]`: with the picture for the
    positive side of CFG, and without one for the negative. strength: s."""

    pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    strength: float = 1.0

    def of(self, block: CrossAttention, sides: Sequence[int], like: torch.Tensor, cache: dict):
        """K' and V' `[len(sides),T,C]`. Whatever is not the positive side (0) has no picture."""
        key = ("image", id(self), block.name, tuple(sides), like.dtype, like.device)
        if key not in cache:
            rows = [int(side != 0) for side in sides]
            cache[key] = tuple(t[rows].to(like) for t in self.pairs[block.name])
        return cache[key]

    def term(
        self,
        block: CrossAttention,
        q: torch.Tensor,
        sides: Sequence[int],
        options: dict,
        cache: dict,
    ) -> torch.Tensor:
        """`s Attn(Q, K', V')` of q `[len(sides),T,C]`. cache: the caller's, for one run."""
        out = optimized_attention(
            q, *self.of(block, sides, q, cache), options["n_heads"],
            attn_precision=options.get("attn_precision"), transformer_options=options,
        )  # fmt: skip
        return out * self.strength


@dataclass
class ImagePromptsByRow:
    """The replacement of attn2 where every person has rows of their own. owners and sides: of each row;
    an owner of -1 is nobody."""

    images: Sequence[ImagePrompt | None]
    owners: Sequence[int]
    sides: Sequence[int]
    cache: dict

    def replacement(self, block: CrossAttention, inner):
        """`fn(q, k, v, extra_options)`, around a replacement that was there before."""

        def replaced(q, k, v, options):
            if inner is not None:
                out = inner(q, k, v, options)
            else:
                out = optimized_attention(
                    q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"),
                    transformer_options=options,
                )  # fmt: skip
            for who, image in enumerate(self.images):
                rows = [row for row, owner in enumerate(self.owners) if owner == who]
                if image is not None and rows:
                    sides = [self.sides[row] for row in rows]
                    out[rows] += image.term(block, q[rows], sides, options, self.cache)
            return out

        return replaced
