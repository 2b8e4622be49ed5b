"""How the channels of a narrow net lie among the 320 of the file that ComfyUI takes for SD1.5.

A real channel stands several times in a row, so that groups keep their statistics; channels that no
norm sees are followed by zeros. Weights are repeated over what comes out, and repeated and divided
by the number of copies over what goes in: then every sum is the one that the narrow net makes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """source: for each channel of the file the real channel that it copies; -1 where it stays 0."""

    source: tuple[int, ...]

    @property
    def real(self) -> int:
        return max(self.source) + 1

    def __add__(self, other: Layout) -> Layout:
        """Both, one after the other."""
        moved = (i + self.real if i >= 0 else -1 for i in other.source)
        return Layout((*self.source, *moved))

    def spread(self, values: Tensor, dim: int, share: bool = False) -> Tensor:
        """`values` with `real` entries along `dim` -> as many as the file has. share: copies of an
        entry add up to it, which is right for what goes into a layer."""
        source = torch.tensor(self.source, device=values.device)
        scale = (source >= 0).to(values.dtype)
        if share:
            copies = torch.bincount(source[source >= 0])
            scale = scale / copies[source.clamp_min(0)]
        shape = [1] * values.ndim
        shape[dim] = -1
        return values.index_select(dim, source.clamp_min(0)) * scale.view(shape)


def repeated(real: int, size: int) -> Layout:
    """Every channel `size / real` times in a row."""
    return Layout(tuple(i * real // size for i in range(size)))


def padded(real: int, size: int) -> Layout:
    """Zeros behind."""
    return Layout((*range(real), *[-1] * (size - real)))


def whole(size: int) -> Layout:
    """What both have alike."""
    return padded(size, size)
