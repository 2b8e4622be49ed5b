"""IMAGE tensors to the pixels that drawing and reading work on, and back."""

import numpy as np
import torch


def first_picture(image: torch.Tensor) -> np.ndarray:
    """The first of IMAGE `[B,H,W,C]` in 0..1 -> RGB uint8 `[H,W,3]`."""
    pixels = torch.nan_to_num(image[0, :, :, :3].float()).clamp(0, 1)
    return (pixels * 255).round().to(torch.uint8).cpu().numpy()


def to_image(picture: np.ndarray) -> torch.Tensor:
    """RGB uint8 `[H,W,3]` -> IMAGE `[1,H,W,3]` in 0..1."""
    return torch.from_numpy(picture.astype(np.float32) / 255)[None]
