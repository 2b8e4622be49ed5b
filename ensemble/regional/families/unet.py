"""UNets with cross-attention: Stable Diffusion 1 and 2, and SDXL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from comfy import supported_models as core
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_base import BaseModel
from torch import nn

from .family import CrossAttention, CrossAttentionFamily, Stream

_SIDES = {"input_blocks": "input", "output_blocks": "output", "middle_block": "middle"}


@dataclass(frozen=True)
class UNet(CrossAttentionFamily):
    """kinds: core's entries in `comfy.supported_models` that this one has been tried with, each by its
    exact class. Others have the same UNet and another use of it (Lotus, SVD, Zero123, the x4
    upscaler)."""

    kinds: tuple[type, ...] = ()

    def recognises(self, model: BaseModel) -> bool:
        unet = model.diffusion_model
        known = type(model.model_config) in self.kinds and isinstance(unet, UNetModel)
        return known and any(self.cross_attentions(unet))

    def cross_attentions(self, unet: nn.Module) -> Iterator[CrossAttention]:
        for name, module in unet.named_modules():
            if isinstance(module, BasicTransformerBlock) and module.attn2 is not None:
                side, first, *_, index = name.split(".")
                number = 0 if side == "middle_block" else int(first)
                key = (_SIDES[side], number, int(index))
                yield CrossAttention(key, f"{name}.attn2", module.attn2)

    def stream(self, layer: str) -> Stream:
        if layer.endswith(("attn2.to_k", "attn2.to_v")):
            return Stream.TEXT
        if layer.startswith(("time_embed.", "label_emb.")) or ".emb_layers." in layer:
            return Stream.VECTOR
        return Stream.IMAGE

    def token_grids(self, height: int, width: int) -> dict[int, tuple[int, int]]:
        """Each level halves with rounding up, as its strided convolutions do."""
        grids = {}
        while True:
            grids.setdefault(height * width, (height, width))
            if height == width == 1:
                return grids
            height, width = (height + 1) // 2, (width + 1) // 2


STABLE_DIFFUSION = UNet(
    name="Stable Diffusion",
    repeats_texts=True,
    picture_side=512,
    clip_channels={"l": 768, "h": 1024},
    kinds=(
        core.SD15, core.SD15_instructpix2pix, core.SD20, core.SD21UnclipL, core.SD21UnclipH,
    ),
)  # fmt: skip
STABLE_DIFFUSION_XL = UNet(
    name="SDXL",
    repeats_texts=True,
    clip_channels={"l": 768, "g": 1280},
    kinds=(
        core.SDXL, core.SDXL_instructpix2pix, core.SDXLRefiner, core.SSD1B, core.Segmind_Vega,
        core.KOALA_700M, core.KOALA_1B,
    ),
)  # fmt: skip
