"""diffusers' Stable Diffusion safety checker, and what happens to a flagged picture."""

from enum import Enum
from pathlib import Path

import torch
import torch.nn.functional as F

from ..models.loading import Loaded
from .folders import complete, load_folder

KIND = "safety_checker"
OFF = "off"
NOTICE = "Sensitive content"


class Action(Enum):
    """What a flagged picture is replaced by; the hosted names."""

    BLACK = "black"
    BLUR = "blur"
    PIXELATE = "pixelate"
    NOTICE = "sensitive_content_text"


def load_checker(name: str) -> Loaded:
    """The checker in `models/safety_checker/<name>`. Raises ValueError, see load_folder."""
    return load_folder(KIND, name, _read)


def _read(path: Path) -> tuple[torch.nn.Module, object]:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessor

    processor = CLIPImageProcessor.from_pretrained(path, local_files_only=True)
    net = StableDiffusionSafetyChecker.from_pretrained(
        path, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    return complete(net), processor


def find_flagged(checker: Loaded, image: torch.Tensor) -> list[bool]:
    """Which pictures of IMAGE `[B,H,W,3]` the checker flags."""
    net, device = checker.on_device()
    pictures = list((image * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    pixels = checker.processor(pictures, return_tensors="pt").pixel_values
    # The net blackens the pictures it is given; it gets ones nobody needs.
    _, flagged = net(clip_input=pixels.to(device), images=[torch.zeros(1) for _ in pictures])
    return [bool(flag) for flag in flagged]


def hide(image: torch.Tensor, flagged: list[bool], action: Action) -> torch.Tensor:
    """IMAGE `[B,H,W,3]` with the flagged pictures replaced; the others bit-identical."""
    if not any(flagged):
        return image
    hidden = image.clone()
    for index, flag in enumerate(flagged):
        if flag:
            hidden[index] = _replacement(image[index], action)
    return hidden


def _replacement(picture: torch.Tensor, action: Action) -> torch.Tensor:
    """`[H,W,3]` -> `[H,W,3]` that shows nothing of the picture but, perhaps, its colours."""
    height, width, _ = picture.shape
    if action is Action.BLACK:
        return torch.zeros_like(picture)
    if action is Action.NOTICE:
        return _notice(picture)
    # 12 cells along the long side: no face or body survives it. Blur is the same, smoothed.
    cells = (
        max(1, round(12 * height / max(height, width))),
        max(1, round(12 * width / max(height, width))),
    )
    small = F.adaptive_avg_pool2d(picture.movedim(-1, 0)[None], cells)
    smooth = {"mode": "bilinear", "align_corners": False} if action is Action.BLUR else {}
    return F.interpolate(small, size=(height, width), **smooth)[0].movedim(0, -1).clamp(0, 1)


def _notice(picture: torch.Tensor) -> torch.Tensor:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    height, width, _ = picture.shape
    canvas = Image.new("RGB", (width, height))
    font = ImageFont.load_default(max(8, width // 16))
    ImageDraw.Draw(canvas).text((width / 2, height / 2), NOTICE, anchor="mm", font=font)
    return torch.from_numpy(np.asarray(canvas, dtype=np.float32) / 255).to(picture)


def check_pictures(
    image: torch.Tensor, checker: str, action: Action
) -> tuple[torch.Tensor, list[bool] | None]:
    """The pictures that may be shown, and which were flagged; None where nothing was checked."""
    if checker == OFF:
        return image, None
    flagged = find_flagged(load_checker(checker), image)
    return hide(image, flagged, action), flagged
