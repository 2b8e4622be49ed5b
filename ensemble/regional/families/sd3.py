"""Stable Diffusion 3 and 3.5 (`comfy/ldm/modules/diffusionmodules/mmdit.py`): blocks of two streams with
one attention, of which some attend to the picture alone once more (3.5 medium)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfy.model_base import SD3
from torch import nn

from .family import Stream
from .joint_attention import JointAttentionFamily, Stage
from .transformer import Grid, Rule, Signature


@dataclass(frozen=True, kw_only=True)
class SD3Family(JointAttentionFamily):
    """Texts have no positions. The last block makes nothing of the texts any more."""

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        return ((block, Stage.JOINT) for block in unet.joint_blocks)

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch_size), -(-width // unet.patch_size))


_BLOCK = r"joint_blocks\.\d+\."
STABLE_DIFFUSION_3 = SD3Family(
    name="Stable Diffusion 3",
    base_classes=(SD3,),
    calls_wrappers=False,
    rules=(
        Rule(r"x_embedder\.proj", Stream.IMAGE),
        Rule(r"context_embedder", Stream.TEXT),
        Rule(rf"{_BLOCK}x_block\.(attn2?\.(qkv|proj)|mlp\.fc\d)", Stream.IMAGE),
        Rule(rf"{_BLOCK}context_block\.(attn\.(qkv|proj)|mlp\.fc\d)", Stream.TEXT),
        Rule(rf"{_BLOCK}x_block\.adaLN_modulation\.1", Stream.VECTOR, Stream.IMAGE),
        Rule(rf"{_BLOCK}context_block\.adaLN_modulation\.1", Stream.VECTOR, Stream.TEXT),
        Rule(r"(t|y)_embedder\.mlp\.\d", Stream.VECTOR),
        Rule(r"final_layer\.linear", Stream.IMAGE),
        Rule(r"final_layer\.adaLN_modulation\.1", Stream.VECTOR, Stream.IMAGE),
    ),
    signatures=(
        Signature("forward", "self x timesteps context y control transformer_options kwargs"),
        Signature("forward_core_with_concat", "self x c_mod context control transformer_options"),
        Signature("joint_blocks.0.x_block.pre_attention", "self x c"),
        Signature("joint_blocks.0.x_block.pre_attention_x", "self x c"),
    ),
)
