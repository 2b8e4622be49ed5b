"""IMAGE tensors `[..., C]` in 0..1: 1 channel is grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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


def check_picture(path: Path) -> None:
    """ValueError for a file whose beginning is no picture's."""
    from PIL import Image

    try:
        Image.open(path).close()
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path.name} is no picture ({_told(error, path)}).") from error


def read_picture(path: Path) -> torch.Tensor:
    """A picture file as IMAGE `[1,H,W,3]`, upright, of any depth; what is transparent shows the colour
    below, as in core's Load Image. ValueError for one that is none, or broken off."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            picture = eight_bit(ImageOps.exif_transpose(opened)).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path.name} is no picture ({_told(error, path)}).") from error
    return from_bytes(np.asarray(picture))[None]


def _told(error: Exception, path: Path) -> str:
    """Pillow's reason without the folder, since messages may go to another machine."""
    return str(error).replace(str(path), path.name)


def eight_bit(picture: Image) -> Image:
    """A grey PIL picture of 16 or 32 bits or floats with 8, which Pillow itself would clip to white;
    any other as it is. Where its file calls one level transparent, an alpha channel says so.

    Floats run to 1, or where one is greater to 255; integers to 65535, or where one is greater to
    2^32 - 1.
    """
    from PIL import Image

    if not picture.mode.startswith(("I", "F")):
        return picture
    greatest = max((levels.max(initial=0) for _, levels in _strips(picture)), default=0)
    if picture.mode == "F":
        most = 1 if greatest <= 1 else 255
    else:
        most = 65535 if greatest <= 65535 else 2**32 - 1
    pixels = np.empty((picture.height, picture.width), np.uint8)
    for top, levels in _strips(picture):
        pixels[top : top + len(levels)] = np.clip(np.round(levels * (255 / most)), 0, 255)
    return _with_transparency(Image.fromarray(pixels), picture)


def _strips(picture: Image) -> Iterator[tuple[int, np.ndarray]]:
    """First row and float64 levels `[rows,W]` of each strip: whole, a large picture would take eight
    bytes a pixel several times over."""
    rows = max(1, 1_000_000 // max(1, picture.width))
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        yield top, np.nan_to_num(np.asarray(strip, dtype=np.float64))


def _with_transparency(grey: Image, picture: Image) -> Image:
    """`grey` with alpha 0 where `picture` has the one level that its file calls transparent: of the
    levels that become one of 8 bits the others stay opaque."""
    from PIL import Image

    level = picture.info.get("transparency")
    if not isinstance(level, int):
        return grey
    alpha = np.empty((picture.height, picture.width), np.uint8)
    for top, levels in _strips(picture):
        alpha[top : top + len(levels)] = np.where(levels == level, 0, 255)
    return Image.merge("LA", (grey, Image.fromarray(alpha)))
