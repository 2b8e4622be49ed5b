"""Flux.1 (dev, schnell, Krea-dev), Flux.2 (dev, Klein) and Chroma (`comfy/ldm/flux`,
`comfy/ldm/chroma`): blocks of two streams with one attention, then blocks of one stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from comfy import model_base
from comfy.model_base import BaseModel
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
class FluxFamily(JointAttentionFamily):
    """Flux.1 says nothing of a text's order by position (all ids are 0); Flux.2 counts its tokens,
    each text anew here. One modulation for all blocks (Flux.2) or one per block (Flux.1)."""

    refused: tuple[Refusal, ...] = (
        Refusal(REFERENCES, "reference pictures (image editing)"),
        Refusal(MASK, "a style model's attention mask (Redux)"),
    )

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        for block in (*unet.double_blocks, *unet.single_blocks):
            yield block, Stage.JOINT

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch_size), -(-width // unet.patch_size))

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, texts: Texts) -> torch.Tensor:
        ids = ids.clone()
        for axis in unet.params.txt_ids_dims:
            ids[..., axis] = texts.restarted(ids)
        return ids


def _sized(model: BaseModel, image: torch.Tensor) -> torch.Tensor:
    """Kontext was trained on a list of sizes, which core's node knows; Flux.2 on any."""
    if isinstance(model, model_base.Flux2):
        return megapixel(model, image)
    from comfy_extras.nodes_flux import FluxKontextImageScale

    return FluxKontextImageScale.execute(image)[0]


_SHARED = (
    Rule(r"img_in", Stream.IMAGE),
    Rule(r"txt_in", Stream.TEXT),
    Rule(r"double_blocks\.\d+\.img_(attn|mlp)\.\w+", Stream.IMAGE),
    Rule(r"double_blocks\.\d+\.txt_(attn|mlp)\.\w+", Stream.TEXT),
    Rule(r"single_blocks\.\d+\.linear[12]", Stream.JOINT),
    Rule(r"final_layer\.linear", Stream.IMAGE),
)
FLUX = FluxFamily(
    name="Flux.1 and Flux.2",
    references=References(_sized),
    base_classes=(model_base.Flux, model_base.Flux2),
    rules=(
        *_SHARED,
        Rule(r"double_blocks\.\d+\.img_mod\.lin", Stream.VECTOR, Stream.IMAGE),
        Rule(r"double_blocks\.\d+\.txt_mod\.lin", Stream.VECTOR, Stream.TEXT),
        Rule(r"single_blocks\.\d+\.modulation\.lin", Stream.VECTOR, Stream.JOINT),
        Rule(r"double_stream_modulation_img\.lin", Stream.VECTOR, Stream.IMAGE),
        Rule(r"double_stream_modulation_txt\.lin", Stream.VECTOR, Stream.TEXT),
        Rule(r"single_stream_modulation\.lin", Stream.VECTOR, Stream.JOINT),
        Rule(r"final_layer\.adaLN_modulation\.1", Stream.VECTOR, Stream.IMAGE),
        Rule(r"(time|vector|guidance)_in\.(in|out)_layer", Stream.VECTOR),
    ),
    signatures=(
        Signature(
            "forward",
            "self x timestep context y guidance ref_latents control transformer_options kwargs",
        ),
        Signature("process_img", "self x index h_offset w_offset transformer_options"),
    ),
)
CHROMA = FluxFamily(
    name="Chroma",
    base_classes=(model_base.Chroma,),
    packed_channels=True,
    rules=(
        *_SHARED,
        # It makes the modulation of all blocks at once, so that a LoRA on it has no place.
        Rule(r"distilled_guidance_layer\.(in_proj|out_proj|layers\.\d+\.\w+)", Stream.VECTOR),
    ),
    signatures=(
        Signature("forward", "self x timestep context guidance control transformer_options kwargs"),
        Signature("get_modulations", "self tensor block_type idx"),
    ),
)
"""Flux.1 without a pooled vector, and without the patch that would restart its texts' positions:
they are all 0."""
