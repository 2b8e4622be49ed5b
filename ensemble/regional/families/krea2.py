"""Krea 2 (`comfy/ldm/krea2/model.py`): one stream of blocks over texts and picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfy.model_base import Krea2
from torch import nn

from .family import Stream
from .joint_attention import JointAttentionFamily, Stage
from .references import References, megapixel
from .transformer import Grid, Rule, Signature


@dataclass(frozen=True, kw_only=True)
class Krea2Family(JointAttentionFamily):
    """The text arrives as several layers of its encoder side by side; `txtfusion` joins them token
    by token, then lets a text's tokens see each other. All of a text stands at position 0."""

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        yield from ((block, Stage.TEXTS) for block in unet.txtfusion.refiner_blocks)
        yield from ((block, Stage.JOINT) for block in unet.blocks)

    def text_modules(self, unet: nn.Module) -> Iterable[nn.Module]:
        return (unet.txtfusion, unet.txtmlp)

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch), -(-width // unet.patch))


_BLOCK = r"\.\d+\.(attn|mlp)\.\w+"
KREA_2 = Krea2Family(
    name="Krea 2",
    # The model itself was trained without; a LoRA teaches it, and says which method (most: this).
    references=References(megapixel, method="index"),
    base_classes=(Krea2,),
    rules=(
        Rule(r"first", Stream.IMAGE),
        Rule(rf"blocks{_BLOCK}", Stream.JOINT),
        Rule(r"last\.linear", Stream.JOINT),
        Rule(rf"txtfusion\.layerwise_blocks{_BLOCK}|txtfusion\.projector", Stream.TEXT_ROWS),
        Rule(rf"txtfusion\.refiner_blocks{_BLOCK}|txtmlp\.\d", Stream.TEXT),
        Rule(r"tproj\.1", Stream.VECTOR, Stream.JOINT),
        # tmlp feeds the last layer's modulation too, which takes one vector.
        Rule(r"tmlp\.\d", Stream.VECTOR),
    ),
    signatures=(
        Signature(
            "forward",
            "self x timesteps context attention_mask ref_latents transformer_options kwargs",
        ),
        Signature("process_img", "self x index"),
    ),
)
