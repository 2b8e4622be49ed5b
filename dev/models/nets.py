"""What stands around the checkpoint: an openpose ControlNet, upscalers and a face restorer."""

from pathlib import Path

import torch

from .checkpoint import CONFIGS, SMALL_UNET, half, random_weights, save

FEATURES = 16


def controlnet(models: Path) -> None:
    """controlnet/small_openpose.safetensors: a ControlNet that the skeleton visibly steers"""
    import comfy.ops
    from comfy.cldm.cldm import ControlNet

    net = ControlNet(**SMALL_UNET, hint_channels=3, operations=comfy.ops.manual_cast)
    save(models / "controlnet/small_openpose.safetensors", half(random_weights(net)))


def _compact(scale: int) -> dict[str, torch.Tensor]:
    """SRVGGNetCompact, the layout of realesr-general: it adds a small random residual to the
    nearest-neighbour enlargement of its input."""
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
    """upscale_models/small_x2.safetensors, small_x4.safetensors: nearly nearest-neighbour"""
    for scale in (2, 4):
        save(models / f"upscale_models/small_x{scale}.safetensors", _compact(scale))


def restorers(models: Path) -> None:
    """facerestore_models/small_restoreformer.safetensors: paints nothing like a face"""
    from spandrel.architectures.RestoreFormer import RestoreFormer

    net = RestoreFormer(**CONFIGS["restoreformer"])
    save(models / "facerestore_models/small_restoreformer.safetensors", net.state_dict())


MAKERS = [controlnet, upscalers, restorers]
