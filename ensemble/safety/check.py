"""Pictures through Stable Diffusion's safety checker, and what becomes of a flagged one."""

from enum import Enum

import torch
import torch.nn.functional as F

from ..models.loading import Loaded, load_folder, named_folder
from ..pictures import from_bytes, to_bytes

FOLDER = "safety_checker"
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
    from .net import SafetyChecker

    return load_folder(FOLDER, named_folder(FOLDER, name), SafetyChecker, "CLIPImageProcessor")


def find_flagged(checker: Loaded, image: torch.Tensor) -> list[bool]:
    """Which pictures of IMAGE `[B,H,W,3]` the checker flags."""
    net, device = checker.on_device()
    pictures = list(to_bytes(image).numpy())
    pixels = checker.processor(pictures, return_tensors="pt").pixel_values
    return net(pixels.to(device)).tolist()


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
    return from_bytes(np.asarray(canvas)).to(picture)


def check_pictures(
    image: torch.Tensor, checker: str, action: Action
) -> tuple[torch.Tensor, list[bool] | None]:
    """The pictures that may be shown, and which were flagged; None where nothing was checked."""
    if checker == OFF:
        return image, None
    flagged = find_flagged(load_checker(checker), image)
    return hide(image, flagged, action), flagged
