"""IMAGE tensors `[..., C]` in 0..1: 1 channel is grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from PIL.Image import Image


def colours(channels: int) -> int:
    """How many of an IMAGE's channels are colour, 3 or 1; those behind them are alpha."""
    return 3 if channels >= 3 else 1


def rgb(image: torch.Tensor) -> torch.Tensor:
    """`[..., C]` -> `[..., 3]`, a view: alpha is left out, grey stands in all three channels."""
    return image[..., : colours(image.shape[-1])].expand(*image.shape[:-1], 3)


def to_bytes(image: torch.Tensor) -> torch.Tensor:
    """0..1 -> uint8 of the same shape on the CPU; what is no number becomes black."""
    levels = torch.nan_to_num(image.float()).mul(255).round_().clamp_(0, 255)
    return levels.to(torch.uint8).cpu()


def from_bytes(pixels: np.ndarray) -> torch.Tensor:
    """uint8 -> 0..1 of the same shape."""
    return torch.from_numpy(pixels.astype(np.float32) / 255)


def eight_bit(picture: Image) -> Image:
    """A grey PIL picture of 16 or 32 bits or floats with 8, which Pillow itself would clip to white;
    any other as it is.

    Floats run to 1, or where one is greater to 255; integers to 65535, or where one is greater to
    2^32 - 1.
    """
    from PIL import Image

    if not picture.mode.startswith(("I", "F")):
        return picture
    levels = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    if picture.mode == "F":
        most = 1 if levels.max(initial=0) <= 1 else 255
    else:
        most = 65535 if levels.max(initial=0) <= 65535 else 2**32 - 1
    return Image.fromarray(np.clip(np.round(levels * (255 / most)), 0, 255).astype(np.uint8))
