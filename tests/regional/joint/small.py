"""Small random models of the DiT families in process, and people to put into them."""

import dataclasses
import math
import re
from collections.abc import Callable

import comfy.ldm.anima.model
import comfy.ops
import comfy.sample
import comfy.supported_models
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from ensemble_portraits.ensemble.regional.people import Person, Text

TOKENS = (20, 13, 41)
"""Of the base and two people: nothing is padded to a common length."""


@dataclasses.dataclass(frozen=True)
class Small:
    """One family: how its model is made, widths of its text, channels of its latents."""

    make: Callable[[], ModelPatcher]
    width: int
    channels: int = 16
    pooled: int | None = None
    sizes: tuple[tuple[int, int], ...] = ((16, 24),)
    outside: str = "$^"
    """Layers that do not run in these tests' pictures."""


def direct(
    kind,
    config: dict,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    change=lambda module: None,
) -> ModelPatcher:
    """The model class at any width, past ComfyUI's detection. change: of what no config says."""
    parts = kind(dict(config))
    parts.unet_config["dtype"] = dtype
    parts.set_inference_dtype(dtype, None)
    inner = parts.get_model({}, "", device=tiny.CPU)
    change(inner.diffusion_model)
    randomise(inner.diffusion_model, seed)
    return ModelPatcher(inner, load_device=tiny.CPU, offload_device=tiny.CPU)


def randomise(module: torch.nn.Module, seed: int = 0) -> None:
    """Linear layers of unit gain, norms near one, biases small. Modulation and pad tokens are drawn
    too: a gate of zero would hide whatever stands behind it."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.numel():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim >= 2 and "pad_token" not in name:
            noise = noise / math.sqrt(tensor[0].numel())
        elif name.endswith("weight") or re.search(r"_norm\.scale$", name):
            noise = 1 + 0.1 * noise
        else:
            noise = 0.1 * noise
        with torch.no_grad():
            tensor.copy_(noise)


def z_image() -> ModelPatcher:
    return direct(comfy.supported_models.ZImage, {
        "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 256,
        "cap_feat_dim": 40, "n_layers": 2, "qk_norm": True, "n_heads": 4, "n_kv_heads": 4,
        "axes_dims": [16, 24, 24], "axes_lens": [1536, 512, 512], "rope_theta": 256.0,
        "ffn_dim_multiplier": 2.0, "z_image_modulation": True, "time_scale": 1000.0,
        "pad_tokens_multiple": 32,
    })  # fmt: skip


def lumina2() -> ModelPatcher:
    return direct(comfy.supported_models.Lumina2, {
        "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 96,
        "cap_feat_dim": 40, "n_layers": 2, "qk_norm": True, "n_heads": 4, "n_kv_heads": 2,
        "axes_dims": [8, 8, 8], "axes_lens": [300, 512, 512], "rope_theta": 10000.0,
        "ffn_dim_multiplier": 4.0,
    })  # fmt: skip


def krea2() -> ModelPatcher:
    return direct(comfy.supported_models.Krea2, {
        "image_model": "krea2", "features": 64, "heads": 2, "kvheads": 1, "txtdim": 40,
        "txtlayers": 3, "txtheads": 4, "txtkvheads": 4, "channels": 16, "patch": 2, "layers": 2,
    })  # fmt: skip


FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 48,
    "context_in_dim": 40, "hidden_size": 64, "mlp_ratio": 4.0, "num_heads": 2, "depth": 2,
    "depth_single_blocks": 2, "axes_dim": [8, 12, 12], "theta": 10000, "patch_size": 2,
    "qkv_bias": True, "guidance_embed": True, "txt_ids_dims": [],
}  # fmt: skip
FLUX2 = {
    **FLUX, "image_model": "flux2", "in_channels": 128, "out_channels": 128, "vec_in_dim": None,
    "mlp_ratio": 3.0, "axes_dim": [8, 8, 8, 8], "theta": 2000, "patch_size": 1, "qkv_bias": False,
    "guidance_embed": False, "txt_ids_dims": [3], "global_modulation": True, "mlp_silu_act": True,
    "ops_bias": False, "default_ref_method": "index", "ref_index_scale": 10.0,
}  # fmt: skip


def flux() -> ModelPatcher:
    return direct(comfy.supported_models.Flux, FLUX)


def flux_schnell() -> ModelPatcher:
    return direct(comfy.supported_models.FluxSchnell, {**FLUX, "guidance_embed": False})


def flux2() -> ModelPatcher:
    return direct(comfy.supported_models.Flux2, FLUX2)


def chroma() -> ModelPatcher:
    config = {key: FLUX[key] for key in FLUX if key not in ("guidance_embed", "in_channels")}
    return direct(comfy.supported_models.Chroma, {
        **config, "image_model": "chroma", "in_channels": 64, "out_channels": 64,
        "vec_in_dim": None, "in_dim": 64, "out_dim": 64, "hidden_dim": 48, "n_layers": 1,
    })  # fmt: skip


def qwen_image() -> ModelPatcher:
    return direct(comfy.supported_models.QwenImage, {
        "image_model": "qwen_image", "in_channels": 64, "out_channels": 16, "num_layers": 2,
        "attention_head_dim": 32, "num_attention_heads": 2, "joint_attention_dim": 40,
        "axes_dims_rope": (8, 12, 12),
    })  # fmt: skip


def anima() -> ModelPatcher:
    def narrow(module):
        """Its adapter has one size, of 0.16 G."""
        module.llm_adapter = comfy.ldm.anima.model.LLMAdapter(
            source_dim=40, target_dim=40, model_dim=32, num_layers=1, num_heads=2,
            dtype=torch.float32, operations=comfy.ops.disable_weight_init,
        )  # fmt: skip

    return direct(comfy.supported_models.Anima, {
        "image_model": "anima", "max_img_h": 240, "max_img_w": 240, "max_frames": 128,
        "in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1,
        "model_channels": 64, "num_blocks": 2, "num_heads": 2, "concat_padding_mask": True,
        "crossattn_emb_channels": 40, "pos_emb_cls": "rope3d", "use_adaln_lora": True,
        "adaln_lora_dim": 24, "rope_h_extrapolation_ratio": 4.0, "rope_w_extrapolation_ratio": 4.0,
    }, change=narrow)  # fmt: skip


def sd3(alone: tuple[int, ...] = ()) -> ModelPatcher:
    """alone: the blocks in which the picture attends to itself once more, as in SD3.5 medium."""
    return direct(comfy.supported_models.SD3, {
        "in_channels": 16, "pos_embed_scaling_factor": None, "pos_embed_max_size": 32,
        "patch_size": 2, "depth": 2, "num_patches": 1024, "adm_in_channels": 48,
        "context_embedder_config": {
            "target": "torch.nn.Linear", "params": {"in_features": 40, "out_features": 128},
        },
        "qk_norm": "rms", "x_block_self_attn_layers": list(alone),
    })  # fmt: skip


FAMILIES = {
    "z_image": Small(z_image, 40, sizes=((16, 24), (14, 22))),
    "lumina2": Small(lumina2, 40, sizes=((16, 24), (13, 21))),
    "krea2": Small(krea2, 120, sizes=((16, 24), (13, 21))),
    "flux": Small(flux, 40, pooled=48, sizes=((16, 24), (13, 21))),
    "flux_schnell": Small(flux_schnell, 40, pooled=48),
    "flux2": Small(flux2, 40, channels=128, sizes=((8, 12),)),
    "chroma": Small(chroma, 40),
    "qwen_image": Small(qwen_image, 40, sizes=((16, 24), (13, 21))),
    "sd3": Small(sd3, 40, pooled=48),
    "sd35_medium": Small(lambda: sd3((0, 1)), 40, pooled=48, sizes=((16, 24), (13, 21))),
    "anima": Small(anima, 40, sizes=((16, 24), (13, 21))),
}


def text(seed: int, tokens: int, small: Small) -> Text:
    generator = torch.Generator().manual_seed(1000 + seed)
    context = torch.randn(1, tokens, small.width, generator=generator)
    values = {}
    if small.pooled:
        values["pooled_output"] = torch.randn(1, small.pooled, generator=generator)
    return Text(f"text {seed}", [[context, values]])


def linears(module: torch.nn.Module) -> list[str]:
    return [name for name, layer in module.named_modules() if isinstance(layer, torch.nn.Linear)]


def lora(
    patcher: ModelPatcher, seed: int, rank: int = 4, layers: str = r"^(?!llm_adapter\.)"
) -> dict:
    """A file for every Linear whose name matches, in the generic key form; not for those that run
    before sampling, where a person's LoRA is refused."""
    names = "|".join(map(re.escape, linears(patcher.model.diffusion_model)))
    chosen = [n for n in names.split("|") if re.search(layers, n.replace("\\", ""))]
    return tiny.lora(patcher, seed, rank, rf"^({'|'.join(chosen)})\.weight$")


def person(patcher, small: Small, state: dict, mask, seed: int, tokens: int, strength=1.0):
    return Person(
        text(10 + seed, tokens, small), text(20 + seed, tokens + 3, small), (f"person {seed}",),
        tiny.person_patches(patcher, state, strength), mask,
    )  # fmt: skip


def people(patcher, small: Small, states, masks, *, tokens=TOKENS, strengths=None, **more):
    """As `tiny.people`, with this family's texts."""
    strengths = strengths or [1.0] * len(states)
    members = tuple(
        person(patcher, small, state, masks[i], i, tokens[i + 1], strengths[i])
        for i, state in enumerate(states)
    )
    whole = tiny.people(patcher, [], masks, **more)
    return dataclasses.replace(
        whole, base=text(1, tokens[0], small), negative=text(2, tokens[0] + 3, small),
        people=members,
    )  # fmt: skip


def halves(size, feather: float = 0.0, cut: float = 0.5) -> torch.Tensor:
    """`[2,H,W]` left and right, summing to 1; feather in parts of the width."""
    height, width = size
    x = (torch.arange(width) + 0.5) / width
    left = ((cut - x) / feather + 0.5).clamp(0, 1) if feather else (x < cut).float()
    left = left.expand(height, width)
    return torch.stack([left, 1 - left])


def merged(patcher, state: dict, strength: float = 1.0) -> ModelPatcher:
    clone = patcher.clone()
    clone.add_patches(tiny.parsed(patcher, state), strength)
    return clone


def sample(patcher, positive, negative, *, family: Small, size, batch=1, steps=2, cfg=1.0, seed=3,
           latent=None, sampler="euler"):  # fmt: skip
    if latent is None:
        latent = torch.zeros(batch, family.channels, *size)
    # As KSampler does: some latents get an axis of time here.
    latent = comfy.sample.fix_empty_latent_channels(patcher, latent, 8, None)
    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample(
        patcher, noise, steps, cfg, sampler, "simple", positive, negative, latent, denoise=1.0,
        seed=seed, disable_pbar=True,
    )  # fmt: skip


def count_calls(patcher) -> list[int]:
    """The batch of every call of the model, as they come."""
    calls = []

    def count(executor, *args, **kwargs):
        calls.append(args[0].shape[0])
        return executor(*args, **kwargs)

    patcher.add_wrapper(WrappersMP.APPLY_MODEL, count)
    return calls


def touched(patcher) -> list[str]:
    """Names of modules with a method replaced on the instance."""
    methods = ("forward", "embed_cap")
    return [
        f"{name}.{method}"
        for name, module in patcher.model.named_modules()
        for method in methods
        if method in module.__dict__
    ]
