"""Qwen-Image (`comfy/ldm/qwen_image/model.py`): blocks of two streams with one attention."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from comfy.model_base import QwenImage
from comfy.sd import CLIP
from torch import nn

from .family import Stream
from .joint_attention import JointAttentionFamily, Stage
from .references import References, megapixel
from .transformer import (
    MASK,
    REFERENCES,
    Grid,
    Refusal,
    Rule,
    Signature,
    Texts,
)


@dataclass(frozen=True, kw_only=True)
class QwenImageFamily(JointAttentionFamily):
    """A text's tokens are counted on from a number that the picture's size gives; each text anew."""

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        return ((block, Stage.JOINT) for block in unet.transformer_blocks)

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch_size), -(-width // unet.patch_size))

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, texts: Texts) -> torch.Tensor:
        return ids[:, :1] + texts.restarted(ids)[None, :, None]


def _read(clip: CLIP, words: str, image: torch.Tensor) -> list:
    """By core's own node, which shows the picture to the text encoder."""
    from comfy_extras.nodes_qwen import TextEncodeQwenImageEditPlus

    return TextEncodeQwenImageEditPlus.execute(clip, words, image1=image)[0]


_BLOCK = r"transformer_blocks\.\d+\."
QWEN_IMAGE = QwenImageFamily(
    name="Qwen-Image",
    references=References(megapixel, read=_read),
    base_classes=(QwenImage,),
    packed_channels=True,
    rules=(
        Rule(r"img_in|proj_out", Stream.IMAGE),
        Rule(r"txt_in", Stream.TEXT),
        Rule(rf"{_BLOCK}attn\.(to_[qkv]|to_out\.0)", Stream.IMAGE),
        Rule(rf"{_BLOCK}attn\.(add_[qkv]_proj|to_add_out)", Stream.TEXT),
        Rule(rf"{_BLOCK}img_mlp\.net\.(0\.proj|2)", Stream.IMAGE),
        Rule(rf"{_BLOCK}txt_mlp\.net\.(0\.proj|2)", Stream.TEXT),
        Rule(rf"{_BLOCK}img_mod\.1", Stream.VECTOR, Stream.IMAGE),
        Rule(rf"{_BLOCK}txt_mod\.1", Stream.VECTOR, Stream.TEXT),
        Rule(r"time_text_embed\.timestep_embedder\.linear_[12]", Stream.VECTOR),
        Rule(r"norm_out\.linear", Stream.VECTOR),
    ),
    signatures=(
        Signature(
            "forward",
            "self x timestep context attention_mask ref_latents additional_t_cond "
            "transformer_options kwargs",
        ),
        Signature("process_img", "self x index h_offset w_offset"),
    ),
    refused=(
        Refusal(REFERENCES, "reference pictures (image editing)"),
        Refusal(MASK, "padded texts"),
    ),
)
