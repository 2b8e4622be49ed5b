"""LoRAs for the small checkpoint in every layout that people share, and the ones that must be
refused."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from .checkpoint import SMALL_UNET, small_unet

RANK = 4
Weights = dict[str, torch.Tensor]
Layout = Callable[[str, torch.Size, torch.Generator], Weights]


def _normal(generator: torch.Generator, *shape: int, scale: float) -> torch.Tensor:
    return torch.randn(*shape, generator=generator) * scale


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
    return {
        f"{name}.lora_down.weight": down,
        f"{name}.lora_up.weight": up,
        f"{name}.alpha": alpha,
    }


def peft(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    down, up = _factors(shape, generator)
    return {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}


def loha(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    columns = shape[1:].numel()
    weights = {
        f"{name}.hada_{part}": _normal(generator, *size, scale=0.3)
        for part, size in (
            ("w1_a", (shape[0], RANK)),
            ("w1_b", (RANK, columns)),
            ("w2_a", (shape[0], RANK)),
            ("w2_b", (RANK, columns)),
        )
    }
    return {**weights, f"{name}.alpha": torch.tensor(1.0)}


def lokr(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    """Kronecker product of an 8x8 and the rest; layers whose input is not a multiple of 8 would not
    fit."""
    left = _normal(generator, 8, 8, scale=0.3)
    kernel = tuple(shape[2:])
    right = _normal(generator, shape[0] // 8, shape[1] // 8, *kernel, scale=0.02)
    return {
        f"{name}.lokr_w1": left,
        f"{name}.lokr_w2": right,
        f"{name}.alpha": torch.tensor(1.0),
    }


def dora(name: str, shape: torch.Size, generator: torch.Generator) -> Weights:
    magnitude = 1.0 + 0.05 * torch.randn(shape[0], *(1 for _ in shape[1:]), generator=generator)
    return {**kohya(name, shape, generator), f"{name}.dora_scale": magnitude}


@functools.cache
def unet_shapes() -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in small_unet().items()}


def unet_layers(convolutions: bool) -> dict[str, torch.Size]:
    """Diffusers name of every attention and feed-forward layer (or of the ResNets' 3x3s too) and
    its shape."""
    import comfy.utils

    config = {**SMALL_UNET, "transformer_depth_output": [1, 1, 1, 1]}
    names = comfy.utils.unet_to_diffusers(config)
    wanted = (".to_q.", ".to_k.", ".to_v.", ".to_out.0.", ".ff.net.", "proj_in.", "proj_out.")
    wanted += (".conv1.", ".conv2.", "time_emb_proj.") if convolutions else ()
    return {
        diffusers[: -len(".weight")]: unet_shapes()[ours]
        for diffusers, ours in names.items()
        if diffusers.endswith(".weight") and any(part in diffusers for part in wanted)
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
    dotted = layout is peft
    prefixes = ("unet.", "text_encoder.") if dotted else ("lora_unet_", "lora_te_")
    weights: Weights = {}
    for prefix, layers in zip(
        prefixes, (unet_layers(convolutions), text_layers() if text else {}), strict=True
    ):
        for name, shape in layers.items():
            if dotted and prefix == "unet.":
                # Diffusers saves attention under its processors, and core looks for it there.
                name = name.replace(".to_", ".processor.to_").replace(".to_out.0", ".to_out")
            name = prefix + (name if dotted else name.replace(".", "_"))
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
    path = models / "loras" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().contiguous() for k, v in weights.items()}, path, metadata)


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
