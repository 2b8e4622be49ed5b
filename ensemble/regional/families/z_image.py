"""Z-Image, and Lumina 2, of the same class NextDiT (`comfy/ldm/lumina/model.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from comfy.model_base import Lumina2
from torch import nn

from .family import Stream
from .joint_attention import JointAttentionFamily, Stage
from .transformer import (
    REFERENCES,
    Grid,
    Refusal,
    Replacement,
    Rule,
    Signature,
    Texts,
)


@dataclass(frozen=True, kw_only=True)
class NextDiTFamily(JointAttentionFamily):
    """Refiners run on picture and texts apart; then joint blocks, then the output layer over all.

    Z-Image pads each text and the picture to multiples of 32 with tokens that are attended to, and
    stands the picture right behind the text on the first position axis.
    """

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        yield from ((block, Stage.TEXTS) for block in unet.context_refiner)
        yield from ((block, Stage.PICTURE) for block in unet.noise_refiner)
        yield from ((block, Stage.JOINT) for block in unet.layers)

    def text_modules(self, unet: nn.Module) -> Iterable[nn.Module]:
        return unet.context_refiner

    def text_tokens(self, unet: nn.Module, raw: int) -> int:
        multiple = unet.pad_tokens_multiple or 1
        return -(-raw // multiple) * multiple

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        rows, columns = -(-height // unet.patch_size), -(-width // unet.patch_size)
        return Grid(rows, columns, -(rows * columns) % (unet.pad_tokens_multiple or 1))

    def replacements(self, unet: nn.Module, texts: Texts) -> Iterable[Replacement]:
        yield unet, "embed_cap", _text_by_text(unet.embed_cap, texts)
        yield unet.rope_embedder, "forward", _nearer(unet.rope_embedder.forward, texts)


def _text_by_text(embed_cap, texts: Texts):
    """Each text is padded by itself, and all end right before the picture: as far from it as when
    alone, since the rotary embedding knows distances only."""
    longest = max(texts.lengths)

    def embedded(cap_feats: torch.Tensor, offset=0, **more):
        parts = []
        try:
            for index, text in enumerate(cap_feats.split(texts.raw_lengths, 1)):
                texts.running = index
                start = offset + longest - texts.lengths[index]
                parts.append(embed_cap(text, offset=start, **more))
        finally:
            texts.running = None
        features, angles = (torch.cat([part[i][0] for part in parts], 1) for i in range(2))
        return (features,), (angles,), texts.tokens

    return embedded


def _nearer(rope, texts: Texts):
    """Core stands the picture behind the sum of the texts; stand it behind the longest. Its pads
    are at 0 and stay there."""
    surplus = texts.tokens - max(texts.lengths)

    def forward(ids: torch.Tensor) -> torch.Tensor:
        if surplus:
            first = ids[..., :1]
            first = torch.where(first > texts.tokens, first - surplus, first)
            ids = torch.cat([first, ids[..., 1:]], -1)
        return rope(ids)

    return forward


_BLOCK = r"\.\d+\.(attention|feed_forward)\.\w+"
_MODULATION = r"\.\d+\.adaLN_modulation\.\d"
_OMNI = "reference pictures (Z-Image Omni)"
Z_IMAGE = NextDiTFamily(
    name="Z-Image and Lumina 2",
    base_classes=(Lumina2,),
    rules=(
        Rule(r"x_embedder", Stream.IMAGE),
        Rule(rf"noise_refiner{_BLOCK}", Stream.IMAGE),
        Rule(rf"noise_refiner{_MODULATION}", Stream.VECTOR, Stream.IMAGE),
        Rule(r"cap_embedder\.1", Stream.TEXT),
        Rule(rf"context_refiner{_BLOCK}", Stream.TEXT),
        Rule(rf"layers{_BLOCK}", Stream.JOINT),
        Rule(rf"layers{_MODULATION}", Stream.VECTOR, Stream.JOINT),
        Rule(r"final_layer\.linear", Stream.JOINT),
        Rule(r"final_layer\.adaLN_modulation\.1", Stream.VECTOR, Stream.JOINT),
        Rule(r"t_embedder\.mlp\.\d", Stream.VECTOR),
        Rule(r"(clip_text_pooled_proj|time_text_embed)\.1", Stream.VECTOR),
        # Omni's reference pictures: without one (they are refused) these never run.
        Rule(rf"siglip_embedder\.1|siglip_refiner{_BLOCK}", Stream.IMAGE),
    ),
    signatures=(
        Signature("embed_cap", "self cap_feats offset bsz device dtype"),
        Signature("embed_all", "self x cap_feats siglip_feats offset omni transformer_options"),
        Signature("forward", "self x timesteps context num_tokens attention_mask kwargs"),
    ),
    refused=(Refusal(REFERENCES, _OMNI), Refusal("siglip_feats", _OMNI)),
)
