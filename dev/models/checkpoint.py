"""A two-level SD1.5-shaped checkpoint, its VAE alone, and an embedding.

ComfyUI detects SD1.5 by 320 model channels and a context of 768; depth and channel multipliers are
read from the weights. The VAE is TAESD's layout, which core also detects, at a hundredth of the
cost of the full one.
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

CONFIGS = json.loads(Path(__file__).with_name("configs.json").read_text(encoding="utf-8"))
SMALL_UNET = CONFIGS["small_unet"]
CHANNELS = SMALL_UNET["model_channels"]


def config(name: str, **more: Any) -> Any:
    """A configuration of transformers' for the small model of that name."""
    import transformers

    return transformers.AutoConfig.for_model(**copy.deepcopy(CONFIGS[name]), **more)


def random_weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every matrix at 1/sqrt(fan in), norms at one, the rest zero."""
    weights = {}
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            weights[name] = value.clone()
        elif value.ndim >= 2:
            weights[name] = torch.randn(value.shape) * value[0].numel() ** -0.5
        else:
            # In these nets a one-dimensional weight is a norm's gain.
            weights[name] = torch.full(value.shape, float(name.endswith("weight")))
    return weights


def centre_taps(weight: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, gain) -> None:
    """Set the middle of the 3x3 (or only) tap of `weight[rows, columns]` to `gain`."""
    middle = weight.shape[-1] // 2
    weight[rows, columns, middle, middle] = gain


def small_unet() -> dict[str, torch.Tensor]:
    """Random, but the noise it predicts is mostly its input, as a trained one's is, so that
    pictures stay in range.

    Channel j of the first convolution carries latent channel j*4//320 with alternating sign, the
    last block's skip hands it on, and the last convolution subtracts the two signs, which undoes
    SiLU: silu(a) - silu(-a) = a.
    """
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    unet = UNetModel(
        **SMALL_UNET, out_channels=4, transformer_depth_output=[1, 1, 1, 1],
        operations=comfy.ops.manual_cast,
    )  # fmt: skip
    weights = random_weights(unet)
    rows = torch.arange(CHANNELS)
    latent = rows * 4 // CHANNELS
    # GroupNorm works on ten channels at once: one sign per group keeps the group's spread the
    # signal's.
    sign = 1.0 - 2.0 * (rows // 10 % 2)
    first = weights["input_blocks.0.0.weight"]
    first.mul_(0.1)
    centre_taps(first, rows, latent, 2.0 * sign)
    skip = weights["output_blocks.3.0.skip_connection.weight"]
    skip.mul_(0.3)
    centre_taps(skip, rows, rows + CHANNELS, 1.0)
    last = weights["out.2.weight"]
    last.mul_(0.6)
    # The other branches take more than half of the norm's spread; 3 brings the input back to one.
    centre_taps(last, latent, rows, 3.0 * 4 / CHANNELS * sign)
    # At 1 the text moves the result by three hundredths only; at 4 CFG 7 burns the picture out.
    for name, weight in weights.items():
        if name.endswith("attn2.to_out.0.weight"):
            weight.mul_(2.0)
    return weights


def small_vae() -> dict[str, torch.Tensor]:
    """TAESD's layout holding a plain code: colours averaged over 8x8 pixels, enlarged smoothly.

    Latent c of 0..2 is 12 * (colour c - 0.5) to the model, latent 3 the mean of the others; a decoded picture is
    the encoded one, pixelated and blurred. Blurs of 3x3 make every seam and padding visible.
    """
    import comfy.ops  # noqa: F401  (taesd needs it loaded first)
    from comfy.taesd.taesd import TAESD

    weights = {k: torch.zeros_like(v) for k, v in TAESD().state_dict().items()}
    # SD1.5's factor, and a third of it: what a random net leaves of the noise is wider than one.
    weights["vae_scale"] = torch.tensor(0.18215 / 3)
    colours = torch.arange(3)
    blur = torch.tensor([0.25, 0.5, 0.25])
    blur = blur[:, None] * blur
    for name, weight in weights.items():
        if name.count(".") == 2 and name.endswith("weight"):
            weight[colours, colours] = blur
    # Averaging where it halves: the four pixels that meet at the corner.
    for layer in (2, 6, 10):
        weight = weights[f"taesd_encoder.{layer}.weight"]
        weight[colours, colours] = torch.zeros(3, 3)
        weight[colours, colours, 1:, 1:] = 0.25
    first = weights["taesd_encoder.0.weight"]
    first.zero_()
    centre_taps(first, colours, colours, 1.0)
    code = weights["taesd_encoder.14.weight"]
    code.zero_()
    centre_taps(code, colours, colours, 4.0)
    centre_taps(code, torch.tensor([3, 3, 3]), colours, 4.0 / 3.0)
    weights["taesd_encoder.14.bias"] -= 2.0
    weights["taesd_decoder.1.weight"][colours, colours] /= 4.0
    weights["taesd_decoder.1.bias"][colours] += 0.5
    return weights


def half(weights: dict[str, torch.Tensor], prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + k: v.half() if v.is_floating_point() else v for k, v in weights.items()}


def save(
    file: Path, weights: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in weights.items()}, file, metadata)


def checkpoint(models: Path) -> None:
    """checkpoints/small_sd15.safetensors: SD1.5-shaped, random weights, two levels"""
    import comfy.sd1_clip

    clip = random_weights(comfy.sd1_clip.SD1ClipModel(dtype=torch.float32))
    clip = {k.replace("clip_l.", ""): v for k, v in clip.items()}
    weights = {
        **half(small_unet(), "model.diffusion_model."),
        **half(small_vae(), "first_stage_model."),
        **half(clip, "cond_stage_model."),
    }
    save(models / "checkpoints/small_sd15.safetensors", weights)


def vae(models: Path) -> None:
    """vae/small_vae.safetensors: the checkpoint's VAE alone"""
    save(models / "vae/small_vae.safetensors", half(small_vae()))


def embedding(models: Path) -> None:
    """embeddings/small_embedding.safetensors: a textual inversion of two vectors"""
    vectors = {"emb_params": torch.randn(2, 768) * 0.02}
    save(models / "embeddings/small_embedding.safetensors", vectors)


MAKERS = [checkpoint, vae, embedding]
