"""Puts a repainted region back into the original picture, leaving every other pixel as it was."""

import math

import torch
import torch.nn.functional as F

from ..pictures import colours

_ASPECT_TOLERANCE = 0.05  # sizes are rounded to multiples of 8, which costs a few percent
_MATCH_SHARE = 0.01  # colours are matched only where at least this share of the picture was kept
_MATCH_RANGE = (0.5, 2.0)


def _resized(image: torch.Tensor, size: tuple[int, int], name: str) -> torch.Tensor:
    """`[B,H,W,C]` at `size` (height, width); smaller by antialiased bicubic, like core's resizes."""
    height, width = image.shape[1:3]
    if (height, width) == size:
        return image
    if abs(math.log(width / height * size[0] / size[1])) > _ASPECT_TOLERANCE:
        raise ValueError(
            f"{name} is {width}x{height} and original is {size[1]}x{size[0]}: another shape, not "
            "another size. Crop one of them so that both show the same part of the picture."
        )
    resized = F.interpolate(
        image.movedim(-1, 1).float(), size, mode="bicubic", antialias=True, align_corners=False
    )
    return resized.clamp_(0.0, 1.0).movedim(1, -1)


def feathered(mask: torch.Tensor, feather: int) -> torch.Tensor:
    """Soften MASK `[B,H,W]` by a raised cosine; exactly 0 farther than `feather` px from any white.

    Beyond the border the mask goes on as it is at the border, so a region cut by it is not faded.
    """
    from kornia.filters import filter2d_separable

    if feather == 0:
        return mask
    steps = torch.arange(-feather, feather + 1, dtype=torch.float32, device=mask.device)
    weights = 1.0 + torch.cos(math.pi * steps / (feather + 1))
    kernel = (weights / weights.sum()).unsqueeze(0)
    soft = filter2d_separable(mask.unsqueeze(1), kernel, kernel, border_type="replicate")
    return soft.squeeze(1).clamp_(0.0, 1.0)


def match_to(image: torch.Tensor, original: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Give `image` `[H,W,C]` the mean and spread of `original` per channel, as measured on `kept`.

    Kept pixels show the same thing in both, so what differs there is the drift of VAE and sampler.
    """
    if kept.float().mean() < _MATCH_SHARE:
        return image
    ours, theirs = image[kept], original[kept]
    ratio = (theirs.std(0) / ours.std(0).clamp(min=1e-6)).clamp(*_MATCH_RANGE)
    return (image - ours.mean(0)) * ratio + theirs.mean(0)


def paste_back(
    image: torch.Tensor,
    original: torch.Tensor,
    mask: torch.Tensor,
    *,
    feather: int,
    match_colour: float,
) -> torch.Tensor:
    """`image` where `mask` is white, `original` elsewhere; IMAGE at the original's size.

    Pixels farther than `feather` px from white are the original's bit for bit. Batches of `image`,
    `original` and `mask` are equal or 1. `match_colour` 0..1: how far the image takes on the
    original's colours.
    """
    count = max(image.shape[0], original.shape[0], mask.shape[0]) if image.numel() else 0
    for name, batch in (("image", image), ("original", original), ("mask", mask)):
        if batch.shape[0] not in (1, count):
            raise ValueError(f"{name} holds {batch.shape[0]} pictures; 1 or {count} would fit.")
    size = (original.shape[1], original.shape[2])
    channels = colours(min(image.shape[-1], original.shape[-1]))
    results = []
    for i in range(count):
        base = original[i % original.shape[0]]
        patch = _resized(image[i % image.shape[0]].unsqueeze(0), size, "image")[0]
        white = _resized(mask[i % mask.shape[0]][None, :, :, None], size, "mask")[..., 0]
        weight = feathered(white.to(base.device, torch.float32), feather)[0].unsqueeze(-1)
        patch = patch[..., :channels].to(base.device, torch.float32)
        below = base[..., :channels].float()
        if match_colour > 0.0:
            matched = match_to(patch, below, weight[..., 0] == 0.0)
            patch = torch.lerp(patch, matched, match_colour)
        blend = torch.lerp(below, patch, weight).clamp_(0.0, 1.0).to(base.dtype)
        result = base.clone()
        result[..., :channels] = torch.where(weight > 0.0, blend, base[..., :channels])
        results.append(result)
    return torch.stack(results) if results else original[:0]
