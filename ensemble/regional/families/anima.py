"""Anima (`comfy/ldm/anima`, of the class MiniTrainDIT in `comfy/ldm/cosmos/predict2.py`): the picture
attends to itself, then to the text by a cross-attention of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from comfy import model_base
from torch import nn

from .family import Stream
from .transformer import Grid, Replacement, Rule, Signature, Texts, TransformerFamily


@dataclass(frozen=True, kw_only=True)
class CrossAttentionDiTFamily(TransformerFamily):
    """Texts are seen by the picture and never see it, so that a text's keys and values are the same in
    every step."""

    def cross_attentions(self, unet: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """(name, module) of each cross-attention."""
        for index, block in enumerate(unet.blocks):
            yield f"blocks.{index}.cross_attn", block.cross_attn

    def self_attentions(self, unet: nn.Module) -> Iterator[nn.Module]:
        """The picture's to itself; their `attn_op` attends."""
        for block in unet.blocks:
            yield block.self_attn

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch_spatial), -(-width // unet.patch_spatial))

    def replacements(self, unet: nn.Module, texts: Texts) -> Iterable[Replacement]:
        for module in (*unet.blocks, unet.final_layer):
            yield module, "forward", _a_frame_per_token(module.forward)


def _a_frame_per_token(forward: Callable) -> Callable:
    """Core modulates frame by frame. With every token as a frame of its own, each can have its own
    vector, and nothing else in a block asks where a token stands."""

    def folded(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        out = forward(x.flatten(1, 3)[:, :, None, None], *args, **kwargs)
        return out.view(*x.shape[:4], -1)

    return folded


_BLOCK = r"blocks\.\d+\."
_MODULATION = r"adaln_modulation(_\w+)?\.[12]"
ANIMA = CrossAttentionDiTFamily(
    name="Anima",
    base_classes=(model_base.Anima,),
    unreached=r"llm_adapter\.",
    refused=(),
    rules=(
        Rule(r"x_embedder\.proj\.1", Stream.IMAGE),
        Rule(rf"{_BLOCK}self_attn\.\w+", Stream.IMAGE),
        Rule(rf"{_BLOCK}cross_attn\.(q_proj|output_proj)", Stream.IMAGE),
        Rule(rf"{_BLOCK}cross_attn\.[kv]_proj", Stream.TEXT),
        Rule(rf"{_BLOCK}mlp\.layer[12]", Stream.IMAGE),
        Rule(r"final_layer\.linear", Stream.IMAGE),
        Rule(rf"({_BLOCK}|final_layer\.){_MODULATION}", Stream.VECTOR, Stream.IMAGE),
        Rule(r"t_embedder\.1\.linear_1", Stream.VECTOR),
        # It is added to the modulation of every block.
        Rule(r"t_embedder\.1\.linear_2", Stream.VECTOR, Stream.IMAGE),
        # Runs before sampling, where nobody's own adapters can be: refused as `unreached`.
        Rule(r"llm_adapter\..*", Stream.TEXT),
    ),
    signatures=(
        Signature("_forward", "self x timesteps context fps padding_mask kwargs"),
        Signature(
            "blocks.0.forward",
            "self x_B_T_H_W_D emb_B_T_D crossattn_emb rope_emb_L_1_1_D adaln_lora_B_T_3D "
            "extra_per_block_pos_emb transformer_options",
        ),
        Signature("blocks.0.cross_attn.forward", "self x context rope_emb transformer_options"),
        Signature("blocks.0.cross_attn.compute_qkv", "self x context rope_emb transformer_options"),
        Signature("final_layer.forward", "self x_B_T_H_W_D emb_B_T_D adaln_lora_B_T_3D"),
    ),
)
"""Its adapter turns the language model's vectors into the text before sampling starts."""
