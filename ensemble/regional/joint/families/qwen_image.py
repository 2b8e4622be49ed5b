"""Qwen-Image (`comfy/ldm/qwen_image/model.py`): blocks of two streams with one attention."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..attention import Stage
from ..family import MASK, REFERENCES, JointFamily, Refusal, Signature, restarted
from ..streams import Rule, Stream, StreamTable
from ..tokens import Grid, TokenMap

BLOCK = r"transformer_blocks\.\d+\."


class QwenImageFamily(JointFamily):
    """A text's tokens are counted on from a number that the picture's size gives; each text anew."""

    streams = StreamTable((
        Rule(r"img_in|proj_out", Stream.IMAGE),
        Rule(r"txt_in", Stream.TEXT),
        Rule(rf"{BLOCK}attn\.(to_[qkv]|to_out\.0)", Stream.IMAGE),
        Rule(rf"{BLOCK}attn\.(add_[qkv]_proj|to_add_out)", Stream.TEXT),
        Rule(rf"{BLOCK}img_mlp\.net\.(0\.proj|2)", Stream.IMAGE),
        Rule(rf"{BLOCK}txt_mlp\.net\.(0\.proj|2)", Stream.TEXT),
        Rule(rf"{BLOCK}img_mod\.1", Stream.VECTOR, Stream.IMAGE),
        Rule(rf"{BLOCK}txt_mod\.1", Stream.VECTOR, Stream.TEXT),
        Rule(r"time_text_embed\.timestep_embedder\.linear_[12]", Stream.VECTOR),
        Rule(r"norm_out\.linear", Stream.VECTOR),
    ))  # fmt: skip
    signatures = (
        Signature(
            "forward",
            "self x timestep context attention_mask ref_latents additional_t_cond transformer_options kwargs",
        ),
        Signature("process_img", "self x index h_offset w_offset"),
    )

    refused = (
        Refusal(REFERENCES, "reference pictures (image editing)"),
        Refusal(MASK, "padded texts"),
    )

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        return ((block, Stage.JOINT) for block in unet.transformer_blocks)

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch_size), -(-width // unet.patch_size))

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, tokens: TokenMap):
        return ids[:, :1] + restarted(tokens, ids)[None, :, None]
