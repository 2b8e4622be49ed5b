"""Upscalers that spandrel loads: SRVGGNetCompact, the layout of realesr-general."""

from pathlib import Path

import torch
from safetensors.torch import save_file

FEATURES = 16


def _compact(scale: int) -> dict[str, torch.Tensor]:
    """Adds a small random residual to the nearest-neighbour enlargement of its input, as the layout
    does."""
    outputs = 3 * scale * scale
    weights = {
        "body.0.weight": torch.randn(FEATURES, 3, 3, 3) * 27**-0.5,
        "body.1.weight": torch.full((FEATURES,), 0.25),
        "body.2.weight": torch.randn(FEATURES, FEATURES, 3, 3) * (9 * FEATURES) ** -0.5,
        "body.3.weight": torch.full((FEATURES,), 0.25),
        "body.4.weight": torch.randn(outputs, FEATURES, 3, 3) * 0.02 * (9 * FEATURES) ** -0.5,
    }
    for layer in (0, 2, 4):
        weights[f"body.{layer}.bias"] = torch.zeros(len(weights[f"body.{layer}.weight"]))
    return weights


def upscalers(models: Path) -> None:
    """upscale_models/small_x2.safetensors, small_x4.safetensors: nearly nearest-neighbour
    enlargement"""
    folder = models / "upscale_models"
    folder.mkdir(parents=True, exist_ok=True)
    for scale in (2, 4):
        save_file(_compact(scale), folder / f"small_x{scale}.safetensors")


MAKERS = [upscalers]
