"""Text -> conditioning, with the emphasis arithmetic that was chosen."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from comfy.sd import CLIP
from comfy.sd1_clip import escape_important, token_weights, unescape_important

from ..prompt.emphasis import Weights, check_comfy, for_comfy, parse_a1111
from .families.family import Family

CHUNK = 77


def encode(clip: CLIP, text: str, weights: Weights, family: Family) -> list:
    """Conditioning as CLIPTextEncode gives it.

    `a1111` encodes without weights, multiplies every token's vector by its weight, and scales the
    chunk back to its mean (AUTOMATIC1111's EmphasisOriginal); other text encoders than CLIP have no
    such form. Raises ValueError for those, and PromptError for brackets that cannot be read.
    Language models know no weights; they read the words without brackets.
    """
    if not knows_weights(clip):
        return clip.encode_from_tokens_scheduled(clip.tokenize(without_emphasis(text, weights)))
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


def knows_weights(clip: CLIP) -> bool:
    """Whether this text encoder's tokenizer reads `(word:1.5)`. Those of language models (Z-Image,
    Krea 2, Qwen-Image, Flux.2, …) take it as text, and core says nothing."""
    return not _plain(clip.tokenize("(word:1.5)"))


def without_emphasis(text: str, weights: Weights) -> str:
    """The words alone, without the brackets and numbers of the chosen reading; `off` takes brackets
    as text, so they stay. Raises PromptError."""
    if weights is Weights.OFF:
        return text
    if weights is Weights.A1111:
        return "".join(piece for piece, _ in parse_a1111(text))
    check_comfy(text)
    pieces = token_weights(escape_important(text), 1.0)
    return unescape_important("".join(piece for piece, _ in pieces))


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
