"""IMAGE tensors `[..., C]` in 0..1: 1 channel is grey, 2 grey and alpha, 3 colour, 4 colour and alpha."""

import numpy as np
import torch


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
