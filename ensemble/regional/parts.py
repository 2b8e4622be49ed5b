"""Which part of the canvas a batch row is of, and what happens where that cannot be known."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..regions.weights import reduce_to


class PartOfCanvasError(RuntimeError):
    def __init__(self, got: Sequence[int], wanted: Sequence[int]):
        super().__init__(
            f"BreakRegionalPrompt: the model is to paint {_shown(got)} where {_shown(wanted)} (latent "
            f"pixels) were announced. Another node paints the picture in tiles or windows, or splits "
            f"the batch, so that people's places are not known. Remove it; EnsembleHires paints "
            f"large pictures in tiles with everybody in place."
        )


def _shown(size: Sequence[int]) -> str:
    return " x ".join(str(number) for number in size)


def part_of(entry: dict, x_in: torch.Tensor) -> tuple[int, int, int, int] | None:
    """(height, width, top, left) of an entry with an area, cut to the canvas as core does. The area
    of a model with a time axis may begin with that."""
    if entry.get("area") is None:
        return None
    sizes, offsets = (
        entry["area"][: len(entry["area"]) // 2],
        entry["area"][len(entry["area"]) // 2 :],
    )
    (height, width), (top, left) = sizes[-2:], offsets[-2:]
    tall, wide = x_in.shape[-2:]
    return min(tall - top, height), min(wide - left, width), top, left


def on_part(
    masks: torch.Tensor, canvas: tuple[int, int], part: tuple[int, int, int, int] | None
) -> torch.Tensor:
    """Masks of the whole canvas `[N,H,W]`, as they lie on a part of it (None: all of it)."""
    if part is None:
        return masks
    height, width, top, left = part
    return reduce_to(masks, *canvas)[:, top : top + height, left : left + width]


def check_shape(x: torch.Tensor, rows: int, size: Sequence[int]) -> None:
    """PartOfCanvasError where the model does not get what core made: `[rows,...,*size]`."""
    got, wanted = (x.shape[0], *x.shape[-2:]), (rows, *size)
    if got != wanted:
        raise PartOfCanvasError(got, wanted)
