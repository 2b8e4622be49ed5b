"""The table of neighbours on DiTs: core's nodes that are for the families which `fused` knows, and
those for any model. docs/neighbours.md is this table in words; test_neighbours.py runs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import comfy.latent_formats
import comfy.ops
import neighbours as n
import small
import tiny
import torch
from comfy.controlnet import ControlNet
from comfy.ldm.anima.lllite import AnimaLLLite, AnimaLLLiteConditioning, AnimaLLLiteModule
from comfy.ldm.flux.controlnet import ControlNetFlux
from comfy.ldm.lumina.controlnet import ZImage_Control
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_model_patch import QwenImageBlockWiseControlNet, SigLIPMultiFeatProjModel
from neighbours import Verdict

SIZE = (16, 24)
SAID, REFUSED = Verdict.SAID, Verdict.REFUSED


@dataclasses.dataclass(frozen=True)
class Dit:
    """One node: on which families, its inputs that are not defaults, what becomes of it. where:
    of a node that patches a model, its places."""

    families: tuple[str, ...]
    inputs: Mapping[str, object] | Callable[[str], Mapping[str, object]] = dataclasses.field(
        default_factory=dict
    )
    fused: Verdict = Verdict.EQUAL
    exact: Verdict = Verdict.EQUAL
    where: tuple[str, ...] = ("before", "after")
    why: str = ""
    batch: int = 2
    cfg: float = 3.0


class Encoder:
    """A VAE for nodes that encode a picture: `[B,H,W,3]` -> 16 channels at an eighth."""

    def __init__(self, frames: bool = False):
        self.frames = frames

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        planes = pixels.mean(-1)[:, None, ::8, ::8].expand(-1, 16, -1, -1).contiguous()
        return planes[:, :, None] if self.frames else planes


def _patch(module: torch.nn.Module) -> ModelPatcher:
    small.randomise(module, 6)
    return ModelPatcher(module, load_device=tiny.CPU, offload_device=tiny.CPU)


def _picture() -> torch.Tensor:
    return torch.rand(1, SIZE[0] * 8, SIZE[1] * 8, 3, generator=torch.Generator().manual_seed(2))


def z_control(family: str) -> dict:
    net = ZImage_Control(
        dim=256, n_heads=4, n_kv_heads=4, ffn_dim_multiplier=2.0, n_control_layers=15,
        dtype=torch.float32, operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    return {"model_patch": _patch(net), "vae": Encoder(), "image": _picture()}


def qwen_control(family: str) -> dict:
    net = QwenImageBlockWiseControlNet(
        num_layers=2, dim=64, dtype=torch.float32, operations=comfy.ops.disable_weight_init
    )
    return {"model_patch": _patch(net), "vae": Encoder(frames=True), "image": _picture()}


def flux_control(family: str) -> dict:
    net = ControlNetFlux(
        latent_input=True, num_union_modes=0, control_latent_channels=16, dtype=torch.float32,
        operations=comfy.ops.disable_weight_init, **{**small.FLUX, "guidance_embed": True},
    )  # fmt: skip
    small.randomise(net, 6)
    control = ControlNet(
        net, compression_ratio=1, latent_format=comfy.latent_formats.Flux(), load_device=tiny.CPU,
        extra_conds=["y", "guidance"],
    )  # fmt: skip
    return {"control_net": control, "vae": Encoder(), "image": _picture(), "strength": 0.9}


class Style:
    """A style model (Redux): tokens that are laid behind the text."""

    def get_cond(self, clip_vision_output) -> torch.Tensor:
        return torch.randn(1, 5, 40, generator=torch.Generator().manual_seed(4))


def style(family: str) -> dict:
    return {"style_model": Style(), "clip_vision_output": None, "strength": 1.0}


def uso(family: str) -> dict:
    net = SigLIPMultiFeatProjModel(
        siglip_token_nums=4, style_token_nums=2, siglip_token_dims=8, hidden_size=64,
        dtype=torch.float32, operations=comfy.ops.disable_weight_init,
    )  # fmt: skip
    seen = SimpleNamespace(
        all_hidden_states=torch.ones(1, 24, 4, 8), penultimate_hidden_states=torch.ones(1, 4, 8)
    )
    return {"model_patch": _patch(net), "clip_vision_output": seen}


def lllite(family: str) -> dict:
    """A control that changes what goes into the self-attention, the queries of the cross-attention and
    the feed-forward of the first block."""
    operations = comfy.ops.disable_weight_init
    modules = {}
    for part in ("self_attn_q_proj", "self_attn_v_proj", "cross_attn_q_proj", "mlp_layer1"):
        module = AnimaLLLiteModule(64, 8, 12, dtype=torch.float32, operations=operations)
        modules |= {f"lllite_dit_blocks_0_{part}.{k}": v for k, v in module.state_dict().items()}
    hint = AnimaLLLiteConditioning(3, 8, 8, 1, (), operations=operations)
    modules |= {f"lllite_conditioning1.{k}": v for k, v in hint.state_dict().items()}
    return {"model_patch": _patch(AnimaLLLite(modules, {}, operations=operations)),
            "image": _picture(), "strength": 0.8, "start_percent": 0.0, "end_percent": 1.0}  # fmt: skip


def references(family: str) -> dict:
    channels = small.FAMILIES[family].channels
    return {"latent": {"samples": torch.ones(1, channels, 8, 8)}}


def other_model(family: str) -> dict:
    return {"model2": small.FAMILIES[family].make(), **n.halves(f"ModelMerge{MERGES[family]}")()}


MERGES = {
    "flux": "Flux1", "krea2": "Krea2", "qwen_image": "QwenImage", "anima": "CosmosPredict2_2B",
    "sd3": "SD3_2B",
}  # fmt: skip
FLUXES = ("flux", "flux2", "chroma")
EVERY = ("z_image", "krea2", "flux", "flux2", "chroma", "qwen_image", "anima", "sd3")
SKIPPED = "It leaves out blocks, in which people's texts would be joined."
CONDITIONING = {
    "ConditioningConcat": Dit(EVERY),
    "ConditioningZeroOut": Dit(EVERY),
    "ConditioningSetTimestepRange": Dit(("krea2", "flux"), {"start": 0.0, "end": 1.0}),
    "ConditioningCombine": Dit(("flux",), fused=SAID, exact=SAID,
                               why="The plain text beside ours is painted without people's LoRAs."),
    **{
        name: Dit(("flux",), flux_control, fused=Verdict.EXPLAINED,
                  why="With fused the ControlNet runs once and reads the scene's text.")
        for name in ("ControlNetApplyAdvanced", "ControlNetApplySD3")
    },
    "FluxKontextMultiReferenceLatentMethod": Dit(("flux",)),
    "StyleModelApply": Dit(("flux",), style),
    "FluxGuidance": Dit(("flux",), {"guidance": 9.0}),
    "FluxDisableGuidance": Dit(("flux",)),
    "ReferenceLatent": Dit(("flux", "flux2", "krea2", "qwen_image"), references, fused=REFUSED),
}  # fmt: skip
MODELS = {
    "AnimaLLLiteApply": Dit(("anima",), lllite),
    "CFGNorm": Dit(("qwen_image",)),
    "CFGZeroStar": Dit(("flux",)),
    "EasyCache": Dit(("flux", "z_image", "anima"), {"reuse_threshold": 0.5, "start_percent": 0.0}),
    "FluxKVCache": Dit(("flux2",)),
    "LoraModelLoader": Dit(
        EVERY, lambda family: {"lora": small.lora(small.FAMILIES[family].make(), 9)}
    ),
    "ModelMergeCosmosPredict2_2B": Dit(("anima",), other_model, where=("before",)),
    "ModelMergeFlux1": Dit(("flux",), other_model, where=("before",)),
    "ModelMergeKrea2": Dit(("krea2",), other_model, where=("before",)),
    "ModelMergeQwenImage": Dit(("qwen_image",), other_model, where=("before",)),
    "ModelSamplingAuraFlow": Dit(("qwen_image", "z_image"), {"shift": 3.1}),
    "ModelSamplingFlux": Dit(("flux",)),
    "ModelSamplingSD3": Dit(("z_image", "sd3"), {"shift": 5.0}),
    "QwenImageDiffsynthControlnet": Dit(("qwen_image",), qwen_control),
    "RenormCFG": Dit(("lumina2",), batch=1),
    "ScaleROPE": Dit(("lumina2", "z_image"), {"scale_x": 1.2, "shift_y": 3.0}),
    "ModelMergeSD3_2B": Dit(("sd3",), other_model, where=("before",)),
    "SkipLayerGuidanceSD3": Dit(("sd3",), {"layers": "1", "start_percent": 0.0, "end_percent": 1.0,
                                "scale": 3.0}, fused=REFUSED, why=SKIPPED),
    "SkipLayerGuidanceDiT": Dit(("flux",), {"double_layers": "1", "single_layers": "1",
                                "start_percent": 0.0, "end_percent": 1.0, "scale": 3.0},
                                fused=REFUSED, why=SKIPPED),
    "SkipLayerGuidanceDiTSimple": Dit(("flux",), {"double_layers": "1", "single_layers": "1",
                                      "start_percent": 0.0}, fused=REFUSED, why=SKIPPED),
    "TorchCompileModel": Dit(("flux", "anima"), lambda family: n.eager_compiler(), SAID, SAID,
                             why="People are painted uncompiled."),
    "USOStyleReference": Dit(("flux",), uso, fused=REFUSED, batch=1, cfg=1.0,
                             why="It adds tokens before the text."),
    "ZImageFunControlnet": Dit(("z_image",), z_control),
}  # fmt: skip
TABLE = {**CONDITIONING, **MODELS}
