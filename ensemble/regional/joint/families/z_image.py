"""Z-Image, and Lumina 2, of the same class NextDiT (`comfy/ldm/lumina/model.py`)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..attention import Stage
from ..family import REFERENCES, JointFamily, Refusal, Replacement, Signature
from ..streams import Rule, Stream, StreamTable
from ..tokens import Grid, TokenMap

BLOCK = r"\.\d+\.(attention|feed_forward)\.\w+"


class NextDiTFamily(JointFamily):
    """Refiners run on picture and texts apart; then joint blocks, then the output layer over all.

    Z-Image pads each text and the picture to multiples of 32 with tokens that are attended to, and
    stands the picture right behind the text on the first position axis.
    """

    streams = StreamTable((
        Rule(r"x_embedder", Stream.IMAGE),
        Rule(rf"noise_refiner{BLOCK}", Stream.IMAGE),
        Rule(r"noise_refiner\.\d+\.adaLN_modulation\.\d", Stream.VECTOR, Stream.IMAGE),
        Rule(r"cap_embedder\.1", Stream.TEXT),
        Rule(rf"context_refiner{BLOCK}", Stream.TEXT),
        Rule(rf"layers{BLOCK}", Stream.JOINT),
        Rule(r"layers\.\d+\.adaLN_modulation\.\d", Stream.VECTOR, Stream.JOINT),
        Rule(r"final_layer\.linear", Stream.JOINT),
        Rule(r"final_layer\.adaLN_modulation\.1", Stream.VECTOR, Stream.JOINT),
        Rule(r"t_embedder\.mlp\.\d", Stream.VECTOR),
        Rule(r"(clip_text_pooled_proj|time_text_embed)\.1", Stream.VECTOR),
        # Z-Image Omni's reference pictures; without one (they are refused) these never run.
        Rule(r"siglip_embedder\.1|siglip_refiner\.\d+\.(attention|feed_forward)\.\w+", Stream.IMAGE),
    ))  # fmt: skip
    signatures = (
        Signature("embed_cap", "self cap_feats offset bsz device dtype"),
        Signature("embed_all", "self x cap_feats siglip_feats offset omni transformer_options"),
        Signature("forward", "self x timesteps context num_tokens attention_mask kwargs"),
    )

    refused = (
        Refusal(REFERENCES, "reference pictures (Z-Image Omni)"),
        Refusal("siglip_feats", "reference pictures (Z-Image Omni)"),
    )

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        yield from ((block, Stage.TEXTS) for block in unet.context_refiner)
        yield from ((block, Stage.JOINT) for block in unet.layers)

    def text_tokens(self, unet: nn.Module, raw: int) -> int:
        multiple = unet.pad_tokens_multiple or 1
        return -(-raw // multiple) * multiple

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        rows, columns = -(-height // unet.patch_size), -(-width // unet.patch_size)
        return Grid(rows, columns, -(rows * columns) % (unet.pad_tokens_multiple or 1))

    def replacements(self, unet: nn.Module, tokens: TokenMap) -> Iterable[Replacement]:
        yield unet, "embed_cap", _text_by_text(unet.embed_cap, tokens)
        yield unet.rope_embedder, "forward", _nearer(unet.rope_embedder.forward, tokens)


def _text_by_text(embed_cap, tokens: TokenMap):
    """Each text is padded by itself, and all end right before the picture: as far from it as when
    alone, since the rotary embedding knows distances only."""
    longest = max(tokens.lengths)

    def embedded(cap_feats=None, offset=0, **more):
        parts = []
        try:
            for index, text in enumerate(cap_feats.split(tokens.raw_lengths, 1)):
                tokens.running = index
                start = offset + longest - tokens.lengths[index]
                parts.append(embed_cap(text, offset=start, **more))
        finally:
            tokens.running = None
        features, angles = (torch.cat([part[i][0] for part in parts], 1) for i in range(2))
        return (features,), (angles,), tokens.text_tokens

    return embedded


def _nearer(rope, tokens: TokenMap):
    """Core stands the picture behind the sum of the texts; stand it behind the longest. Its pads
    are at 0 and stay there."""
    surplus = tokens.text_tokens - max(tokens.lengths)

    def forward(ids: torch.Tensor) -> torch.Tensor:
        if surplus:
            first = ids[..., :1]
            first = torch.where(first > tokens.text_tokens, first - surplus, first)
            ids = torch.cat([first, ids[..., 1:]], -1)
        return rope(ids)

    return forward
