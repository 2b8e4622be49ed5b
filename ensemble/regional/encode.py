"""Text -> conditioning, with the emphasis arithmetic that was chosen."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy.sd import CLIP

from ..prompt.emphasis import Weights, for_comfy
from .families.family import Family

CHUNK = 77


def encode(clip: CLIP, text: str, weights: Weights, family: Family) -> list:
    """Conditioning as CLIPTextEncode gives it.

    `a1111` encodes without weights, multiplies every token's vector by its weight, and scales the
    chunk back to its mean (AUTOMATIC1111's EmphasisOriginal); other text encoders than CLIP have no
    such form. Raises ValueError for those, and PromptError for brackets that cannot be read.
    """
    tokens = clip.tokenize(for_comfy(text, weights))
    if weights is not Weights.A1111 or _plain(tokens):
        return clip.encode_from_tokens_scheduled(tokens)
    unknown = set(tokens) - set(family.clip_channels)
    if unknown:
        raise ValueError(
            f"BreakRegionalPrompt: weights = a1111 is arithmetic on CLIP's vectors, and this "
            f"model reads text with {', '.join(sorted(unknown))}. Choose weights = comfy or off."
        )
    conditioning = clip.encode_from_tokens_scheduled(_without_weights(tokens))
    return [
        [_emphasise(context, tokens, family.clip_channels), values]
        for context, values in conditioning
    ]


def _plain(tokens: dict) -> bool:
    return all(token[1] == 1.0 for chunks in tokens.values() for chunk in chunks for token in chunk)


def _without_weights(tokens: dict) -> dict:
    return {
        name: [[(token[0], 1.0, *token[2:]) for token in chunk] for chunk in chunks]
        for name, chunks in tokens.items()
    }


def _emphasise(context: torch.Tensor, tokens: dict, channels_of: Mapping[str, int]) -> torch.Tensor:
    """`[1, 77 * chunks, C]`, each chunk of each encoder on its own."""
    context = context.clone()
    start = 0
    for name in (name for name in channels_of if name in tokens):
        channels = slice(start, start + channels_of[name])
        start = channels.stop
        for index, chunk in enumerate(tokens[name]):
            part = context[:, index * CHUNK : (index + 1) * CHUNK, channels]
            part.copy_(emphasis(part, torch.tensor([token[1] for token in chunk]).to(part)))
    return context


def emphasis(chunk: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A1111's EmphasisOriginal: `z w * mean(z) / mean(z w)`; chunk `[1,T,C]`, weights `[T]`.

    Vectors whose mean is nothing but rounding (an untrained encoder's) have no such ratio and are
    only multiplied.
    """
    weighted = chunk * weights[None, :, None]
    mean, new_mean = chunk.double().mean(), weighted.double().mean()
    if min(mean.abs(), new_mean.abs()) < 1e-6 * chunk.double().std():
        return weighted
    return weighted * (mean / new_mean).to(chunk)
