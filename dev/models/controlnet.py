"""An openpose ControlNet for the small checkpoint, detected as SD1.5."""

from pathlib import Path

from safetensors.torch import save_file

from .checkpoint import SMALL_UNET, half, random_weights


def controlnet(models: Path) -> None:
    """controlnet/small_openpose.safetensors: a ControlNet that the skeleton visibly steers"""
    import comfy.ops
    from comfy.cldm.cldm import ControlNet

    net = ControlNet(**SMALL_UNET, hint_channels=3, operations=comfy.ops.manual_cast)
    weights = half(random_weights(net))
    folder = models / "controlnet"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "small_openpose.safetensors")


MAKERS = [controlnet]
