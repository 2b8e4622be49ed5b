"""Flux.1 (dev, schnell, Krea-dev), Flux.2 (dev, Klein) and Chroma (`comfy/ldm/flux`,
`comfy/ldm/chroma`): blocks of two streams with one attention, then blocks of one stream."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..attention import Stage
from ..family import MASK, REFERENCES, JointFamily, Refusal, Signature, restarted
from ..streams import Rule, Stream, StreamTable
from ..tokens import Grid, TokenMap

SHARED = (
    Rule(r"img_in", Stream.IMAGE),
    Rule(r"txt_in", Stream.TEXT),
    Rule(r"double_blocks\.\d+\.img_(attn|mlp)\.\w+", Stream.IMAGE),
    Rule(r"double_blocks\.\d+\.txt_(attn|mlp)\.\w+", Stream.TEXT),
    Rule(r"single_blocks\.\d+\.linear[12]", Stream.JOINT),
    Rule(r"final_layer\.linear", Stream.IMAGE),
)


class FluxFamily(JointFamily):
    """Flux.1 says nothing of a text's order by position (all ids are 0); Flux.2 counts its tokens,
    each text anew here. One modulation for all blocks (Flux.2) or one per block (Flux.1)."""

    streams = StreamTable((
        *SHARED,
        Rule(r"double_blocks\.\d+\.img_mod\.lin", Stream.VECTOR, Stream.IMAGE),
        Rule(r"double_blocks\.\d+\.txt_mod\.lin", Stream.VECTOR, Stream.TEXT),
        Rule(r"single_blocks\.\d+\.modulation\.lin", Stream.VECTOR, Stream.JOINT),
        Rule(r"double_stream_modulation_img\.lin", Stream.VECTOR, Stream.IMAGE),
        Rule(r"double_stream_modulation_txt\.lin", Stream.VECTOR, Stream.TEXT),
        Rule(r"single_stream_modulation\.lin", Stream.VECTOR, Stream.JOINT),
        Rule(r"final_layer\.adaLN_modulation\.1", Stream.VECTOR, Stream.IMAGE),
        Rule(r"(time|vector|guidance)_in\.(in|out)_layer", Stream.VECTOR),
    ))  # fmt: skip
    signatures = (
        Signature(
            "forward",
            "self x timestep context y guidance ref_latents control transformer_options kwargs",
        ),
        Signature("process_img", "self x index h_offset w_offset transformer_options"),
    )

    refused = (
        Refusal(REFERENCES, "reference pictures (image editing)"),
        Refusal(MASK, "a Redux style model's attention mask"),
    )

    def stages(self, unet: nn.Module) -> Iterable[tuple[nn.Module, Stage]]:
        for block in (*unet.double_blocks, *unet.single_blocks):
            yield block, Stage.JOINT

    def grid(self, unet: nn.Module, height: int, width: int) -> Grid:
        return Grid(-(-height // unet.patch_size), -(-width // unet.patch_size))

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, tokens: TokenMap):
        ids = ids.clone()
        for axis in unet.params.txt_ids_dims:
            ids[..., axis] = restarted(tokens, ids)
        return ids


class ChromaFamily(FluxFamily):
    """Flux.1 without a pooled vector; a small network makes all blocks' modulations at once, so
    that a LoRA on it has no place in the picture."""

    streams = StreamTable((
        *SHARED,
        Rule(
            r"distilled_guidance_layer\.(in_proj|out_proj|layers\.\d+\.\w+)", Stream.VECTOR
        ),
    ))  # fmt: skip
    signatures = (
        Signature("forward", "self x timestep context guidance control transformer_options kwargs"),
        Signature("get_modulations", "self tensor block_type idx"),
    )

    def text_positions(self, unet: nn.Module, ids: torch.Tensor, tokens: TokenMap):
        return ids
