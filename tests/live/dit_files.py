"""Small files of DiT families that ComfyUI detects by itself, and LoRA files for them. Z-Image and
Qwen-Image are detected at full width only; the small ones are known by `small_shapes.py`."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from .small_shapes import QWEN_IMAGE, Z_IMAGE


@dataclass(frozen=True)
class Family:
    """make: the diffusion model's module. kind: what core detects. size: px of the picture."""

    make: Callable[..., torch.nn.Module]
    kind: str
    width: int
    channels: int
    tokens: int = 77
    dtype: torch.dtype = torch.float32
    left_out: str = "$^"
    """Weights that the file does not hold, since nothing here reads them."""


def flux(**shape):
    from comfy.ldm.flux.model import Flux

    return Flux(image_model=None, in_channels=16, out_channels=16, vec_in_dim=768,
                context_in_dim=768, hidden_size=256, mlp_ratio=4.0, num_heads=2, depth=1,
                depth_single_blocks=1, axes_dim=[16, 56, 56], theta=10000, patch_size=2,
                qkv_bias=True, guidance_embed=True, txt_ids_dims=[], **shape)  # fmt: skip


def flux2(**shape):
    from comfy.ldm.flux.model import Flux

    return Flux(image_model=None, in_channels=128, out_channels=128, vec_in_dim=None,
                context_in_dim=96, hidden_size=256, mlp_ratio=3.0, num_heads=2, depth=1,
                depth_single_blocks=1, axes_dim=[32] * 4, theta=2000, patch_size=1, qkv_bias=False,
                guidance_embed=False, txt_ids_dims=[3], global_modulation=True, mlp_silu_act=True,
                ops_bias=False, **shape)  # fmt: skip


def krea2(**shape):
    from comfy.ldm.krea2.model import SingleStreamDiT

    return SingleStreamDiT(features=256, heads=2, kvheads=1, txtdim=40, txtlayers=3, channels=16,
                           patch=2, layers=2, **shape)  # fmt: skip


def anima(**shape):
    from comfy.ldm.anima.model import Anima

    # Core takes 10 blocks of 16 heads where the width is none that it knows.
    return Anima(max_img_h=240, max_img_w=240, max_frames=128, in_channels=16, out_channels=16,
                 patch_spatial=2, patch_temporal=1, model_channels=256, num_blocks=10, num_heads=16,
                 crossattn_emb_channels=1024, pos_emb_cls="rope3d", use_adaln_lora=True,
                 adaln_lora_dim=256, **shape)  # fmt: skip


def sd3(**shape):
    from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT

    context = {"target": "torch.nn.Linear", "params": {"in_features": 768, "out_features": 128}}
    return MMDiT(input_size=None, in_channels=16, depth=2, adm_in_channels=768, num_patches=1024,
                 context_embedder_config=context, pos_embed_max_size=32, qk_norm="rms",
                 x_block_self_attn_layers=[0], **shape)  # fmt: skip


def z_image(**shape):
    from comfy.ldm.lumina.model import NextDiT

    return NextDiT(patch_size=2, in_channels=16, dim=3840, cap_feat_dim=768, n_layers=1,
                   qk_norm=True, n_heads=30, n_kv_heads=30, axes_dims=[32, 48, 48],
                   axes_lens=[1536, 512, 512], rope_theta=256.0, ffn_dim_multiplier=8 / 3,
                   z_image_modulation=True, time_scale=1000.0, pad_tokens_multiple=32,
                   **shape)  # fmt: skip


def qwen_image(**shape):
    from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(image_model=None, num_layers=1, **shape)


def small_z_image(**shape):
    from comfy.ldm.lumina.model import NextDiT

    return NextDiT(**Z_IMAGE, **shape)


def small_qwen_image(**shape):
    from comfy.ldm.qwen_image.model import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(**QWEN_IMAGE, **shape)


FULL_WIDTH = ("z_image", "qwen_image")
"""Of those below: for the slow tier."""
FAMILIES = {
    "flux": Family(flux, "Flux", 768, 16),
    "flux2": Family(flux2, "Flux2", 96, 128, tokens=40),
    "krea2": Family(krea2, "Krea2", 120, 16, tokens=20),
    # Of its text adapter, which only texts with ids go through, detection asks for one weight.
    "anima": Family(
        anima,
        "Anima",
        1024,
        16,
        tokens=40,
        left_out=r"llm_adapter\.(?!blocks\.0\.cross_attn\.q_proj)",
    ),
    "sd3": Family(sd3, "SD3", 768, 16),
    "small_z_image": Family(small_z_image, "ZImage", 768, 16, tokens=40),
    "small_qwen_image": Family(small_qwen_image, "QwenImage", 3584, 16, tokens=40),
    "z_image": Family(z_image, "ZImage", 768, 16, tokens=40, dtype=torch.bfloat16),
    "qwen_image": Family(qwen_image, "QwenImage", 3584, 16, tokens=40, dtype=torch.bfloat16),
}


def weights_of(family: Family) -> dict[str, torch.Tensor]:
    """Linear layers of unit gain, norms near one; modulation is drawn too."""
    import comfy.ops

    module = family.make(dtype=family.dtype, device="cpu", operations=comfy.ops.disable_weight_init)
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, tensor in module.state_dict().items():
        if re.match(family.left_out, name):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim >= 2 and "pad_token" not in name:
            noise = noise / math.sqrt(tensor[0].numel())
        elif name.endswith(("weight", "_norm.scale")):
            noise = 1 + 0.1 * noise
        else:
            noise = 0.1 * noise
        weights[name] = noise.to(tensor.dtype).contiguous()
    return weights


def qwen_union() -> dict[str, torch.Tensor]:
    """A union ControlNet for the small Qwen-Image."""
    from comfy.ldm.qwen_image.controlnet import QwenImageControlNetModel

    shape = {key: value for key, value in QWEN_IMAGE.items() if key != "image_model"}

    def make(**more):
        return QwenImageControlNetModel(**shape, **more)

    return weights_of(replace(FAMILIES["small_qwen_image"], make=make))


def lora_of(weights: dict, seed: int, rank: int = 4) -> dict[str, torch.Tensor]:
    """As ai-toolkit writes it: every linear weight of the blocks."""
    generator = torch.Generator().manual_seed(seed)
    file = {}
    for name, weight in weights.items():
        blocks = ("blocks.", "layers.")
        if weight.ndim != 2 or not name.endswith("weight") or not any(b in name for b in blocks):
            continue
        if name.startswith("llm_adapter."):  # refused for a person
            continue
        base = f"diffusion_model.{name.removesuffix('.weight')}"
        down = torch.randn(rank, weight.shape[1], generator=generator)
        file[f"{base}.lora_A.weight"] = 0.3 * down / math.sqrt(weight.shape[1])
        file[f"{base}.lora_B.weight"] = torch.randn(weight.shape[0], rank, generator=generator)
    return file
