"""IP-Adapter files (base and plus, for SD1.5 and SDXL): a picture -> K' and V' of every cross-attention.

All of it is computed once per picture, so that nothing of the adapter stays in memory while sampling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import comfy.utils
import folder_paths
import torch
import torch.nn.functional as F
from comfy.clip_vision import ClipVisionModel
from comfy.model_patcher import ModelPatcher

from .families.family import CrossAttention, CrossAttentionFamily
from .image_prompts import ImagePrompt

FOLDER = "ipadapter"
_HEAD = 64
"""Channels of an attention head in the plus layout, in every file that was published."""
Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class IPAdapter:
    """projection: of CLIP's vectors to tokens. pairs: `to_k_ip` and `to_v_ip` in the file's order."""

    name: str
    projection: Weights
    pairs: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def plus(self) -> bool:
        return "latents" in self.projection

    @property
    def reads(self) -> int:
        """Channels of CLIP's vectors."""
        return self.projection["proj_in.weight" if self.plus else "proj.weight"].shape[1]

    def tokens(self, seen: torch.Tensor) -> torch.Tensor:
        """`[B,D]` (base: the picture's embedding) or `[B,S,D]` (plus: the hidden states before CLIP's
        last layer) -> `[B,T,C]`."""
        return _resampled(self.projection, seen) if self.plus else _projected(self.projection, seen)


def load_ip_adapter(name: str) -> IPAdapter:
    """A file of `models/ipadapter`. ValueError for one that is none, or of a layout that needs a
    model of faces."""
    path = folder_paths.get_full_path_or_raise(FOLDER, name)
    try:
        parts = _parts(comfy.utils.load_torch_file(path, safe_load=True))
    except Exception as error:  # whatever a broken file makes its reader raise
        raise ValueError(f"Input 'ip_adapter': {name} cannot be read ({error}).") from error
    return read_ip_adapter(name, *parts)


def _parts(state: Mapping) -> tuple[Weights, Weights]:
    """The two halves, nested as in .bin files or told by prefixes as in .safetensors."""
    if "image_proj" in state:
        return state["image_proj"], state.get("ip_adapter", {})
    halves = ({}, {})
    for half, prefix in zip(halves, ("image_proj.", "ip_adapter."), strict=True):
        half.update({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return halves


def read_ip_adapter(name: str, projection: Weights, layers: Weights) -> IPAdapter:
    base = {"proj.weight", "norm.weight"} <= projection.keys()
    plus = {"latents", "proj_in.weight", "proj_out.weight"} <= projection.keys()
    faces = any("lora" in key for key in layers) or "proj.0.weight" in projection
    numbers = sorted(
        {int(k.split(".")[0]) for k in layers if re.match(r"\d+\.to_k_ip\.weight$", k)}
    )
    if faces or not (base or plus) or not numbers:
        raise ValueError(
            f"Input 'ip_adapter': {name} is no IP-Adapter of the base or plus layout. Variants on "
            f"face embeddings (FaceID), full-face and those of other packs are not supported; take "
            f"ip-adapter_sd15, ip-adapter-plus_sd15, ip-adapter-plus-face_sd15, ip-adapter_sdxl_vit-h "
            f"or ip-adapter-plus_sdxl_vit-h."
        )
    projection = {key: weight.float() for key, weight in projection.items()}
    pairs = tuple((layers[f"{n}.to_k_ip.weight"], layers[f"{n}.to_v_ip.weight"]) for n in numbers)
    return IPAdapter(name, projection, pairs)


def image_prompt(
    adapter: IPAdapter, vision: ClipVisionModel, model: ModelPatcher, image: torch.Tensor,
    strength: float,
) -> ImagePrompt:  # fmt: skip
    """IMAGE `[1,H,W,3]` -> what it adds to each cross-attention. ValueError for an adapter or a CLIP
    vision model of other shapes than the model's."""
    blocks = _in_order(model)
    shapes = [tuple(block.module.to_k.weight.shape) for block in blocks]
    if [tuple(pair[0].shape) for pair in adapter.pairs] != shapes:
        raise ValueError(
            f"Input 'ip_adapter': {adapter.name} is for another model: it has {len(adapter.pairs)} "
            f"layers of {adapter.pairs[0][0].shape[1]} text channels, this model {len(shapes)} of "
            f"{shapes[0][1]}. Take a file for SD1.5 or SDXL, as the checkpoint is."
        )
    tokens = adapter.tokens(_seen(adapter, vision, image))
    pairs = {
        block.name: tuple(F.linear(tokens, weight.float()) for weight in pair)
        for block, pair in zip(blocks, adapter.pairs, strict=True)
    }
    return ImagePrompt(pairs, strength)  # type: ignore[arg-type]


def _in_order(model: ModelPatcher) -> Sequence[CrossAttention]:
    """The cross-attentions as files count them: down, up, then the middle."""
    from .families import family_of

    family = family_of(model)
    assert isinstance(family, CrossAttentionFamily)  # noqa: S101 - `references.show` asked before
    order = ("input", "output", "middle")
    found = list(family.cross_attentions(model.model.diffusion_model))
    return sorted(found, key=lambda block: order.index(block.key[0]))


def _seen(adapter: IPAdapter, vision: ClipVisionModel, image: torch.Tensor) -> torch.Tensor:
    """CLIP's view of the picture, and of none: zeros, in base of the embedding and in plus of the
    pixels as the model gets them."""
    told = vision.encode_image(image)
    shown = told["penultimate_hidden_states" if adapter.plus else "image_embeds"].float().cpu()
    if shown.shape[-1] != adapter.reads:
        raise ValueError(
            f"Input 'clip_vision' makes vectors of {shown.shape[-1]} numbers, and {adapter.name} reads "
            f"{adapter.reads}. Files with vit-h in their name, and all for SD1.5, take CLIP-ViT-H-14; "
            f"ip-adapter_sdxl takes CLIP-ViT-bigG-14."
        )
    if not adapter.plus:
        return torch.cat([shown, torch.zeros_like(shown)])
    side = vision.image_size
    # encode_image would round the mean colour to a level of 255; it has loaded the model, though.
    pixels = torch.zeros(1, 3, side, side, device=vision.load_device)
    empty = vision.model(pixel_values=pixels, intermediate_output=-2)[1]
    return torch.cat([shown, empty.float().cpu()])


def _projected(weights: Weights, seen: torch.Tensor) -> torch.Tensor:
    """The authors' ImageProjModel: a linear layer to several tokens, and a norm."""
    channels = weights["norm.weight"].shape[0]
    tokens = F.linear(seen, weights["proj.weight"], weights["proj.bias"])
    tokens = tokens.unflatten(1, (-1, channels))
    return F.layer_norm(tokens, (channels,), weights["norm.weight"], weights["norm.bias"])


def _resampled(weights: Weights, seen: torch.Tensor) -> torch.Tensor:
    """The authors' Resampler: learnt tokens that look at CLIP's, layer after layer."""

    def linear(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (-1, _HEAD)).transpose(1, 2)

    seen = linear("proj_in", seen)
    tokens = weights["latents"].expand(len(seen), -1, -1)
    depth = len({key.split(".")[1] for key in weights if key.startswith("layers.")})
    for layer in (f"layers.{index}" for index in range(depth)):
        own, others = norm(f"{layer}.0.norm2", tokens), norm(f"{layer}.0.norm1", seen)
        q = linear(f"{layer}.0.to_q", own)
        k, v = linear(f"{layer}.0.to_kv", torch.cat([others, own], 1)).chunk(2, -1)
        said = F.scaled_dot_product_attention(heads(q), heads(k), heads(v))
        tokens = tokens + linear(f"{layer}.0.to_out", said.transpose(1, 2).flatten(2))
        inner = F.gelu(linear(f"{layer}.1.1", norm(f"{layer}.1.0", tokens)))
        tokens = tokens + linear(f"{layer}.1.3", inner)
    return norm("norm_out", linear("proj_out", tokens))
