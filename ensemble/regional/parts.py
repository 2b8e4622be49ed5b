"""Which part of the canvas a batch row is of, and what happens where that cannot be known."""

from __future__ import annotations

from collections.abc import Sequence

import torch


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
    """(height, width, top, left) of an entry with an area, cut to the canvas as core does."""
    if "area" not in entry:
        return None
    height, width, top, left = entry["area"]
    tall, wide = x_in.shape[-2:]
    return min(tall - top, height), min(wide - left, width), top, left


def check_shape(x: torch.Tensor, rows: int, size: Sequence[int]) -> None:
    """PartOfCanvasError where the model does not get what core made: `[rows,...,*size]`."""
    got, wanted = (x.shape[0], *x.shape[-2:]), (rows, *size)
    if got != wanted:
        raise PartOfCanvasError(got, wanted)
