"""What base model a LoRA file looks made for, by the names and widths in it: for messages."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch


class Origin(NamedTuple):
    """name: of the base model. pattern: what its keys alone have, dots and underscores alike. widths:
    what goes into those layers, where that tells models of one kind apart; none: any."""

    name: str
    pattern: str
    widths: frozenset[int] = frozenset()


def _of(name: str, pattern: str, *widths: int) -> Origin:
    return Origin(name, pattern, frozenset(widths))


_CROSS = r"attn2\.(processor\.)?to\.[kv]"
_JOINT = r"(double\.blocks|single\.blocks|single\.transformer\.blocks)\.\d+"
ORIGINS = (
    _of("Stable Diffusion 1.5", _CROSS, 768),
    _of("Stable Diffusion 2", _CROSS, 1024),
    _of("SDXL", _CROSS, 2048),
    _of("Stable Diffusion 3", r"joint\.blocks\.\d+\.(x|context)\.block|norm1\.context\.linear"),
    _of("Chroma", r"distilled\.guidance\.layer"),
    _of("Flux.2 klein 4B", r"double\.stream\.modulation|to\.qkv\.mlp\.proj", 3072),
    _of("Flux.2 klein 9B", _JOINT, 4096),
    _of("Flux.2 dev", _JOINT, 6144),
    _of("Flux.1", _JOINT, 3072),
    _of("HunyuanVideo", r"(img|txt)\.attn\.qkv|individual\.token\.refiner"),
    _of("Qwen-Image", r"transformer\.blocks\.\d+\.(img|txt)\.(mlp|mod)"),
    _of("Lumina 2", r"layers\.\d+\.(attention|feed\.forward)", 2304),
    _of("Z-Image", r"layers\.\d+\.(attention|feed\.forward)", 3840),
    _of("Krea 2", r"txtfusion|text\.fusion|blocks\.\d+\.attn\.(wq|wv|to\.gate)"),
    _of(
        "Wan",
        r"blocks\.\d+\.(self|cross)\.attn\.[qkvo]\.(lora|diff|lokr|hada|alpha)|blocks\.\d+\.ffn\.\d",
    ),
    _of("Anima", r"llm\.adapter|blocks\.\d+\.(self|cross)\.attn\.[qkv]\.proj"),
    _of("LTX-Video", r"transformer\.blocks\.\d+\.attn2\.to\.[kv]", 4096),
    _of("PixArt", r"transformer\.blocks\.\d+\.attn2\.to\.[kv]", 1152),
)
"""The first entry whose pattern and width fit a key gives that key's model."""
_DOWN = re.compile(r"(lora[._](down|A)|lokr_w2|hada_w1_b|\.lora_A)")


def looks_made_for(tensors: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Names of the base models that the keys are of, most keys first; empty where none is known."""
    counts: dict[str, int] = {}
    for key, tensor in tensors.items():
        plain = key.replace("_", ".")
        width = tensor.shape[1] if _DOWN.search(key) and tensor.ndim > 1 else None
        for origin in ORIGINS:
            if not re.search(origin.pattern, plain):
                continue
            if not origin.widths or width in origin.widths:
                counts[origin.name] = counts.get(origin.name, 0) + 1
                break
    return tuple(sorted(counts, key=lambda name: -counts[name]))
