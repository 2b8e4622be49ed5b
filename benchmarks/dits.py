"""DiT families for the benchmarks: real widths, one block of each kind (on a CPU) or all of them, and
as many tokens as a picture of 1024x1024 has."""

from __future__ import annotations

import math
from dataclasses import dataclass

import engine

FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 768,
    "context_in_dim": 4096, "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24,
    "axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True,
    "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
KLEIN = {
    **FLUX, "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None,
    "context_in_dim": 7680, "mlp_ratio": 3.0, "axes_dim": [32] * 4, "theta": 2000, "patch_size": 1,
    "qkv_bias": False, "guidance_embed": False, "txt_ids_dims": [3], "global_modulation": True,
    "mlp_silu_act": True, "ops_bias": False,
}  # fmt: skip
Z_IMAGE = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 3840,
    "cap_feat_dim": 2560, "qk_norm": True, "n_heads": 30, "n_kv_heads": 30,
    "axes_dims": [32, 48, 48], "axes_lens": [1536, 512, 512], "rope_theta": 256.0,
    "ffn_dim_multiplier": 8 / 3, "z_image_modulation": True, "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}  # fmt: skip
ANIMA = {
    "image_model": "anima", "max_img_h": 240, "max_img_w": 240, "max_frames": 128,
    "in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1,
    "model_channels": 2048, "num_heads": 16, "concat_padding_mask": True,
    "crossattn_emb_channels": 1024, "pos_emb_cls": "rope3d", "use_adaln_lora": True,
    "adaln_lora_dim": 256, "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a benchmark's scene has to know of a model.

    width, tokens: of a text. pooled: channels of the pooled vector. channels: of a latent; ratio:
    pixels per latent pixel; frames: whether latents have an axis of time. touched: the layers that
    a LoRA of the usual trainers changes.
    """

    width: int
    tokens: int = 77
    pooled: int | None = None
    channels: int = 4
    ratio: int = 8
    frames: bool = False
    touched: str = engine.TOUCHED
    cfg: float = 7.0


@dataclass(frozen=True, kw_only=True)
class Family(Shape):
    """kind: its class in `comfy.supported_models`. shallow, full: what depths say in its config."""

    kind: str
    config: dict
    shallow: dict
    full: dict
    channels: int = 16
    cfg: float = 1.0


UNETS = {"sd15": Shape(width=768), "sdxl": Shape(width=2048, pooled=1280)}


def shape_of(model: str) -> Shape:
    return UNETS[model] if model in UNETS else FAMILIES[model]


FAMILIES = {
    "z_image": Family(
        kind="ZImage", config=Z_IMAGE, width=2560, tokens=96,
        shallow={"n_layers": 1, "n_refiner_layers": 1}, full={"n_layers": 30},
        touched=r"^layers.*(attention\.(qkv|out)|feed_forward\.w\d)\.weight$",
    ),
    "krea2": Family(
        kind="Krea2", config={"image_model": "krea2"}, width=12 * 2560, tokens=96, frames=True,
        # Its layers for texts cost the same at any depth: beside one block they would seem dear.
        shallow={"layers": 2}, full={"layers": 28},
        touched=r"^blocks.*(attn\.\w+|mlp\.\w+)\.weight$",
    ),
    "flux": Family(
        kind="Flux", config=FLUX, width=4096, tokens=256, pooled=768,
        shallow={"depth": 1, "depth_single_blocks": 1},
        full={"depth": 19, "depth_single_blocks": 38},
        touched=r"(attn\.(qkv|proj)|mlp\.\d|linear\d)\.weight$",
    ),
    "flux2_klein": Family(
        kind="Flux2", config=KLEIN, width=7680, tokens=512, channels=128, ratio=16,
        shallow={"depth": 1, "depth_single_blocks": 1},
        full={"depth": 5, "depth_single_blocks": 20},
        touched=r"(attn\.(qkv|proj)|mlp\.\d|linear\d)\.weight$",
    ),
    "qwen_image": Family(
        kind="QwenImage", config={"image_model": "qwen_image"}, width=3584, tokens=96, frames=True,
        shallow={"num_layers": 1}, full={"num_layers": 60},
        touched=r"(attn\.(to_\w+(\.0)?|add_\w+)|mlp\.net\.(0\.proj|2))\.weight$",
    ),
    "anima": Family(
        kind="Anima", config=ANIMA, width=1024, tokens=512, frames=True,
        shallow={"num_blocks": 1}, full={"num_blocks": 28},
        touched=r"^blocks.*(attn\.\w+_proj|mlp\.layer\d)\.weight$",
    ),
}  # fmt: skip


def model(family: Family, full: bool, dtype: str | None = None):
    """A ModelPatcher with random weights. dtype: by default float32 on a CPU, bfloat16 on a GPU."""
    import comfy.model_management as management
    import comfy.supported_models
    import torch
    from comfy.model_patcher import ModelPatcher

    usual = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    dtype = getattr(torch, dtype) if dtype else usual
    depths = family.full if full else family.shallow
    parts = getattr(comfy.supported_models, family.kind)({**family.config, **depths})
    parts.unet_config["dtype"] = dtype
    parts.set_inference_dtype(dtype, None)
    device = management.get_torch_device()
    inner = parts.get_model({}, "", device=device)
    with torch.no_grad():
        for name, parameter in inner.diffusion_model.named_parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 1 / math.sqrt(parameter[0].numel()))
            else:
                parameter.fill_(1.0 if name.endswith(("weight", "norm.scale")) else 0.0)
    return ModelPatcher(inner, load_device=device, offload_device=torch.device("cpu"))
