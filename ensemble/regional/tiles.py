"""Overlapping tiles of a latent, and the weights that join them again without a seam."""

import math
from collections.abc import Callable, Iterator

import torch

from ..regions.rect import Rect


def spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Evenly spread spans of `tile` that cover `length` and overlap by `overlap` or more."""
    if length <= tile:
        return [(0, length)]
    count = math.ceil((length - overlap) / (tile - overlap))
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    return [(start, start + tile) for start in starts]


def cover(height: int, width: int, tile: int, overlap: int) -> Iterator[Rect]:
    """Tiles in whole pixels, row by row. `overlap` below `tile`."""
    for top, bottom in spans(height, tile, overlap):
        for left, right in spans(width, tile, overlap):
            yield Rect.pixels(left, top, right, bottom)


def _ramp(span: slice, length: int, overlap: int) -> torch.Tensor:
    """1 in the middle, falling in straight lines over the overlap; never 0, never at the border."""
    size = span.stop - span.start
    place = torch.arange(size, dtype=torch.float32)
    weight = torch.ones(size)
    if span.start > 0:
        weight = torch.minimum(weight, (place + 1) / (overlap + 1))
    if span.stop < length:
        weight = torch.minimum(weight, (size - place) / (overlap + 1))
    return weight


def tiled(
    latent: torch.Tensor, tile: int, overlap: int, run: Callable[[Rect], torch.Tensor]
) -> torch.Tensor:
    """`run` on every tile of `[..., H, W]`, joined by weighted means.

    Where tiles agree the result is what they agree on, so a `run` that looks at nothing beyond its
    pixel (or within the overlap) gives the same for every tile size.
    """
    height, width = latent.shape[-2:]
    tiles = list(cover(height, width, tile, overlap))
    if len(tiles) == 1:
        return run(tiles[0])
    total = torch.zeros(latent.shape, dtype=torch.float32)
    weights = torch.zeros(height, width)
    for part in tiles:
        rows, columns = part.slices(width=width, height=height)
        weight = _ramp(rows, height, overlap)[:, None] * _ramp(columns, width, overlap)
        total[..., rows, columns] += run(part).to(total) * weight
        weights[rows, columns] += weight
    return total / weights
