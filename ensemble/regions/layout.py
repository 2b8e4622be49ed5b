"""Regions for people who were given none: columns or rows of equal width in prompt order."""

from enum import Enum

import torch

SIZE = 512
"""Side of the square that stands for the canvas; masks are stretched over whatever is sampled."""


class Layout(str, Enum):
    COLUMNS = "columns"
    ROWS = "rows"


def lay_out(people: int, layout: Layout, feather: float) -> torch.Tensor:
    """Masks `[people, SIZE, SIZE]`, left to right or top to bottom, that sum to 1 everywhere.

    `feather` is the width of the linear ramp across each border, as a fraction of the canvas;
    it is held below one strip's width, so that a strip never loses its core.
    """
    position = (torch.arange(SIZE) + 0.5) / SIZE
    feather = min(feather, 1.0 / people)
    # entered[i] is how far a point lies beyond the border into strip i: 0 before the ramp, 1 after it.
    borders = torch.arange(1, people) / people
    entered = (position[None] - borders[:, None]) / max(feather, 1e-6) + 0.5
    entered = entered.clamp(0, 1)
    ones, zeros = torch.ones(1, SIZE), torch.zeros(1, SIZE)
    strips = torch.cat([ones, entered]) - torch.cat([entered, zeros])
    if layout is Layout.COLUMNS:
        return strips[:, None, :].repeat(1, SIZE, 1)
    return strips[:, :, None].repeat(1, 1, SIZE)
