"""LoRAs for the small checkpoint in every layout that people share, and the ones that must be
refused."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch

from .checkpoint import SMALL_UNET, half, save, small_unet

RANK = 4
Weights = dict[str, torch.Tensor]
Layout = Callable[[str, torch.Size, torch.Generator], Weights]


def _normal(generator: torch.Generator, *shape: int, scale: float) -> torch.Tensor:
    return torch.randn(*shape, generator=generator) * scale


def _named(name: str, **parts: torch.Tensor) -> Weights:
    """The tensors of one layer under their names; `__` in a part's name is a dot."""
    return {f"{name}.{part.replace('__', '.')}": value for part, value in parts.items()}


def _factors(shape: torch.Size, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """down [rank, in, ...] and up [out, rank, ...] whose product is about a tenth of the weight it
    changes."""
    kernel = tuple(shape[2:])
    down = _normal(generator, RANK, shape[1], *kernel, scale=shape[1:].numel() ** -0.5)
    up = _normal(generator, shape[0], RANK, *(1 for _ in kernel), scale=0.1)
    return down, up


def kohya(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    down, up = _factors(shape, generator)
    alpha = torch.tensor(float(RANK))
    return _named(name, lora_down__weight=down, lora_up__weight=up, alpha=alpha)


def peft(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    down, up = _factors(shape, generator)
    return _named(name, lora_A__weight=down, lora_B__weight=up)


def loha(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    sizes = (shape[0], RANK), (RANK, shape[1:].numel())
    parts = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    factors = {part: _normal(generator, *sizes[n % 2], scale=0.3) for n, part in enumerate(parts)}
    return _named(name, **factors, alpha=torch.tensor(1.0))


def lokr(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    """Kronecker product of an 8x8 and the rest; layers whose input is not a multiple of 8 would not
    fit."""
    left = _normal(generator, 8, 8, scale=0.3)
    right = _normal(generator, shape[0] // 8, shape[1] // 8, *shape[2:], scale=0.02)
    return _named(name, lokr_w1=left, lokr_w2=right, alpha=torch.tensor(1.0))


def dora(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    magnitude = 1.0 + 0.05 * torch.randn(shape[0], *(1 for _ in shape[1:]), generator=generator)
    return {**kohya(name, shape, generator), **_named(name, dora_scale=magnitude)}


@functools.cache
def _unet_shapes() -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in small_unet().items()}


def unet_layers(convolutions: bool) -> dict[str, torch.Size]:
    """Diffusers name of every attention and feed-forward layer (or of the ResNets' 3x3s too) and
    its shape."""
    import comfy.utils

    names = comfy.utils.unet_to_diffusers({**SMALL_UNET, "transformer_depth_output": [1, 1, 1, 1]})
    wanted = (".to_q.", ".to_k.", ".to_v.", ".to_out.0.", ".ff.net.", "proj_in.", "proj_out.")
    wanted += (".conv1.", ".conv2.", "time_emb_proj.") if convolutions else ()
    # Sorted, because core goes through sets: the same weights every time.
    return {
        theirs.removesuffix(".weight"): _unet_shapes()[ours]
        for theirs, ours in sorted(names.items())
        if theirs.endswith(".weight") and any(part in theirs for part in wanted)
    }


def text_layers() -> dict[str, torch.Size]:
    """The projections of CLIP-L's last three layers."""
    square, wide, tall = torch.Size((768, 768)), torch.Size((3072, 768)), torch.Size((768, 3072))
    parts = {f"self_attn.{p}_proj": square for p in ("q", "k", "v", "out")}
    parts |= {"mlp.fc1": wide, "mlp.fc2": tall}
    return {
        f"text_model.encoder.layers.{layer}.{part}": shape
        for layer in (9, 10, 11)
        for part, shape in parts.items()
    }


def adapter(layout: Layout, seed: int, convolutions: bool = False, text: bool = True) -> Weights:
    """One LoRA; its names follow the layout: dots for PEFT, underscores for the kohya family."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for name, shape in unet_layers(convolutions).items():
        # Diffusers saves attention under its processors, and core looks for it there.
        dotted = name.replace(".to_", ".processor.to_").replace(".to_out.0", ".to_out")
        name = f"unet.{dotted}" if layout is peft else f"lora_unet_{name.replace('.', '_')}"
        weights |= layout(name, shape, generator)
    for name, shape in text_layers().items() if text else ():
        name = f"text_encoder.{name}" if layout is peft else f"lora_te_{name.replace('.', '_')}"
        weights |= layout(name, shape, generator)
    return weights


def _metadata(name: str, words: dict[str, int]) -> dict[str, str]:
    return {
        "ss_base_model_version": "sd_v1",
        "ss_output_name": name,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(RANK),
        "ss_tag_frequency": json.dumps({"10_" + name: words}),
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": name,
    }


def _save(models: Path, name: str, weights: Weights, metadata: dict[str, str] | None = None):
    save(models / "loras" / f"{name}.safetensors", half(weights), metadata)


def people_and_styles(models: Path) -> None:
    """loras: two people under documented ids, the documented styles, and the PEFT naming"""
    for seed, name in enumerate(("ohwx_first", "ohwx_second", "ohwx_third"), 1):
        words = {"ohwx woman": 20, "portrait": 8, name: 2}
        _save(models, f"people/{name}", adapter(kohya, seed), _metadata(name, words))
    for seed, name in enumerate(("ganyu-lora", "more_details"), 11):
        _save(models, name, adapter(kohya, seed), _metadata(name, {name: 10}))
    _save(models, "peft", adapter(peft, 21))
    _save(models, "unet_only", adapter(kohya, 22, text=False))


def other_layouts(models: Path) -> None:
    """loras: LoCon (3x3s too), LoHa, LoKr, DoRA"""
    _save(models, "layouts/locon", adapter(kohya, 31, convolutions=True))
    _save(models, "layouts/loha", adapter(loha, 32))
    _save(models, "layouts/lokr", adapter(lokr, 33))
    _save(models, "layouts/dora", adapter(dora, 34))


def bad_files(models: Path) -> None:
    """loras: wrong base, partly matching, ambiguous stem, truncated file"""
    generator = torch.Generator().manual_seed(41)
    weights: Weights = {}
    # SDXL's attention sits in input blocks 4, 5, 7 and 8, which the small SD1.5 net does not have.
    for block, width in ((4, 640), (5, 640), (7, 1280), (8, 1280)):
        for layer, inputs in (("attn1_to_q", width), ("attn2_to_k", 2048)):
            name = f"lora_unet_input_blocks_{block}_1_transformer_blocks_0_{layer}"
            weights |= kohya(name, torch.Size((width, inputs)), generator)
    metadata = {"ss_base_model_version": "sdxl_base_v1-0", "ss_output_name": "sdxl"}
    _save(models, "bad/sdxl", weights, metadata)

    fitting = adapter(kohya, 42, text=False)
    few = dict(list(fitting.items())[: 3 * 4])
    _save(models, "bad/partly", {**few, **weights})

    for folder, seed in (("a", 43), ("b", 44)):
        _save(models, f"twins/{folder}/twin", adapter(kohya, seed, text=False))

    whole = (models / "loras" / "unet_only.safetensors").read_bytes()
    (models / "loras" / "bad" / "truncated.safetensors").write_bytes(whole[: len(whole) // 2])


MAKERS = [people_and_styles, other_layouts, bad_files]
