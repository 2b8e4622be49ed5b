"""A UNet of SD1.5's shape, small enough to sample in a blink, and people to put into it."""

import math
import re

import comfy.hooks
import comfy.lora
import comfy.ops
import comfy.sample
import comfy.supported_models
import comfy.utils
import torch
from comfy.cldm.cldm import ControlNet as ControlModel
from comfy.controlnet import ControlNet
from comfy.gligen import GatedSelfAttentionDense, Gligen, PositionNet
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.model_patcher import ModelPatcher
from ensemble_portraits.ensemble.regional.changes import LoraPatch, Patches
from ensemble_portraits.ensemble.regional.people import Method, People, Person, Text
from ensemble_portraits.ensemble.regions.weights import region_weights

CPU = torch.device("cpu")
CONTEXT = 96
SD15 = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": CONTEXT,
    "num_heads": 4,
    "num_head_channels": -1,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "legacy": False,
    "adm_in_channels": None,
    "use_temporal_attention": False,
    "use_temporal_resblock": False,
}
DEEP = {
    **SD15,
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [1, 1, 1],
    "transformer_depth_output": [1] * 6,
}
"""Three levels, as deep as attention has to be for its errors to matter."""
SDXL = {
    **SD15,
    "model_channels": 64,
    "num_head_channels": 64,
    "num_heads": -1,
    "use_linear_in_transformer": True,
    "num_classes": "sequential",
    "adm_in_channels": 64 + 6 * 256,
}
ATTENTION = r"(attn\d\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2)|proj_in|proj_out)\.weight$"
EVERYTHING = r"(attn|ff|proj|conv|in_layers\.2|out_layers\.3|emb_layers|time_embed|label_emb|skip|op\b|out\.2|input_blocks\.0).*weight$"


def model(
    config: dict = SD15, dtype: torch.dtype = torch.float32, seed: int = 0, kind: type | None = None
) -> ModelPatcher:
    """`kind`: core's entry in `comfy.supported_models`; by default SDXL or SD15, as config says."""
    known = comfy.supported_models
    kind = kind or (known.SDXL if config.get("num_classes") else known.SD15)
    parts = kind(dict(config))
    parts.unet_config["dtype"] = dtype
    parts.set_inference_dtype(dtype, None if dtype is torch.float32 else torch.float32)
    inner = parts.get_model({}, "", device=CPU)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in inner.diffusion_model.named_parameters():
        with torch.no_grad():
            if parameter.ndim >= 2:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(noise / math.sqrt(parameter[0].numel()))
            else:
                parameter.fill_(1.0 if name.endswith("weight") else 0.02)
    return ModelPatcher(inner, load_device=CPU, offload_device=CPU)


def text(seed: int, tokens: int = 77, pooled: int | None = None) -> Text:
    generator = torch.Generator().manual_seed(1000 + seed)
    context = torch.randn(1, tokens, CONTEXT, generator=generator)
    values = (
        {} if pooled is None else {"pooled_output": torch.randn(1, pooled, generator=generator)}
    )
    return Text(f"text {seed}", [[context, values]])


def lora(
    patcher: ModelPatcher, seed: int, rank: int = 4, layers: str = ATTENTION, size=0.3
) -> dict:
    """A state dict in the generic key form, for the layers whose parameter names match."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, weight in patcher.model.diffusion_model.named_parameters():
        if not re.search(layers, name):
            continue
        base = f"diffusion_model.{name.removesuffix('.weight')}"
        down = torch.randn(rank, *weight.shape[1:], generator=generator)
        up = torch.randn(weight.shape[0], rank, *[1] * (weight.ndim - 2), generator=generator)
        state[f"{base}.lora_down.weight"] = down * size / math.sqrt(down[0].numel())
        state[f"{base}.lora_up.weight"] = up
        state[f"{base}.alpha"] = torch.tensor(rank / 2.0)
    return state


def parsed(patcher: ModelPatcher, state: dict) -> dict:
    keys = comfy.lora.model_lora_keys_unet(patcher.model, {})
    return comfy.lora.load_lora(state, keys, log_missing=False)


def person_patches(patcher: ModelPatcher, state: dict, strength: float = 1.0) -> Patches:
    return {k: (LoraPatch(v, strength),) for k, v in parsed(patcher, state).items()}


def merged(patcher: ModelPatcher, *states: dict, strength: float = 1.0) -> ModelPatcher:
    """As a chain of core's LoraLoaders."""
    clone = patcher.clone()
    for state in states:
        clone.add_patches(parsed(patcher, state), strength)
    return clone


def control() -> ControlNet:
    """A ControlNet of the shape of SD15, without a hint."""
    keys = (
        "image_size", "in_channels", "model_channels", "num_res_blocks", "channel_mult",
        "transformer_depth", "transformer_depth_middle", "context_dim", "num_heads",
        "num_head_channels", "use_spatial_transformer", "use_linear_in_transformer", "legacy",
    )  # fmt: skip
    net = ControlModel(
        **{k: SD15[k] for k in keys}, hint_channels=3, operations=comfy.ops.disable_weight_init,
        dtype=torch.float32,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    return ControlNet(net, load_device=CPU)


def gligen() -> ModelPatcher:
    """GLIGEN's gated attention for every transformer block of SD15, in the order they run."""
    net = model().model.diffusion_model
    widths = [
        block.norm1.normalized_shape[0]
        for part in (net.input_blocks, net.middle_block, net.output_blocks)
        for block in part.modules()
        if isinstance(block, BasicTransformerBlock)
    ]
    gated = [GatedSelfAttentionDense(width, 32, 4, width // 4) for width in widths]
    inner = Gligen(gated, PositionNet(64, 32), 64)
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in inner.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return ModelPatcher(inner, load_device=CPU, offload_device=CPU)


def columns(people: int, height: int = 64, width: int = 96, feather: int = 0) -> torch.Tensor:
    masks = torch.zeros(people, height, width)
    for i in range(people):
        masks[i, :, i * width // people : (i + 1) * width // people] = 1
    if feather:
        masks = torch.nn.functional.avg_pool2d(
            torch.nn.functional.pad(masks, (feather, feather, 0, 0), "replicate"),
            (1, 2 * feather + 1),
            1,
        )
    return masks


def people(
    patcher: ModelPatcher, states: list, masks: torch.Tensor, *, method=Method.FUSED,
    strengths=None, base_strength=0.2, pooled=None, tokens=None, **more,
) -> People:  # fmt: skip
    tokens = tokens or [77] * (len(states) + 1)
    strengths = strengths or [1.0] * len(states)
    members = tuple(
        Person(
            text(10 + i, tokens[i + 1], pooled),
            text(20 + i, tokens[i + 1], pooled),
            (f"person {i}",),
            person_patches(patcher, state, strengths[i]),
            masks[i],
        )
        for i, state in enumerate(states)
    )
    return People(
        patcher, None, text(1, tokens[0], pooled), text(2, tokens[0], pooled), "", members,
        method, base_strength, **more,
    )  # fmt: skip


def sample(
    patcher, positive, negative, *, size=(8, 12), batch=1, steps=3, cfg=7.0, sampler="euler",
    seed=3, noise=None, latent=None, denoise=1.0,
):  # fmt: skip
    if latent is None:
        latent = torch.zeros(batch, 4, *size)
    if noise is None:
        noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample(
        patcher, noise, steps, cfg, sampler, "normal", positive, negative, latent,
        denoise=denoise, seed=seed, disable_pbar=True,
    )  # fmt: skip


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def core_hooks(people, states, strengths=None):
    """The same regions by core: masks, and LoRA hooks on the positives and the negatives."""
    weights = region_weights(people.masks, people.base_strength)
    strengths = strengths or [1.0] * len(states)
    hooks = [
        comfy.hooks.create_hook_lora(lora=state, strength_model=strength, strength_clip=0.0)
        for state, strength in zip(states, strengths, strict=True)
    ]

    def side(base, texts):
        out = [[c, {**v, "mask": weights[:1], "mask_strength": 1.0}] for c, v in base.conditioning]
        for text, hook, weight in zip(texts, hooks, weights[1:], strict=True):
            extra = {"mask": weight[None], "mask_strength": 1.0, "hooks": hook}
            out += [[c, {**v, **extra}] for c, v in text.conditioning]
        return out

    positives = side(people.base, [p.positive for p in people.people])
    negatives = side(people.negative, [p.negative for p in people.people])
    return people.model.clone(), positives, negatives
