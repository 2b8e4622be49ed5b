"""The G of fused's `y += up (G * (down x))`: how strongly each person's adapters act at each token.
One row of the batch holds the whole picture, and people own places in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ..regions.weights import reduce_to


class TokenCountError(RuntimeError):
    def __init__(self, rows: int, tokens: int):
        super().__init__(
            f"BreakRegionalPrompt: a layer got {rows} rows of {tokens} tokens, which are not the "
            f"places of this picture. Another node merges or tiles tokens (token merging, "
            f"HyperTile); remove it, or choose method = exact."
        )


def grid_of(x: torch.Tensor, options: Mapping, grids: Mapping[int, tuple[int, int]]):
    """(rows, columns) of the tokens of x `[B,T,C]`. Core tells every transformer's shape; where a
    wrapper of others keeps that from us, the count must be one that `grids` knows. Counting alone
    is not enough: a quarter of the picture has as many tokens as the whole of it one level down."""
    shape = options.get("activations_shape")
    if shape is None:
        grid = grids.get(x.shape[1])
    else:
        batch, _, height, width = shape
        grid = (height, width) if x.shape[:2] == (batch, height * width) else None
    if grid is None:
        raise TokenCountError(*x.shape[:2])
    return grid


@dataclass
class RegionGate:
    """G for fused: the person's gate at the token's place, times 1 for our rows and 0 for others'.

    gates `[N,H,W]`, see `adapter_gates`. grids: token count -> (rows, columns). ours `[B]` (1.0 or
    0.0), or None when every row of the batch is ours. options: the transformer options of the
    forward pass that runs.
    """

    gates: torch.Tensor
    grids: Mapping[int, tuple[int, int]]
    ours: torch.Tensor | None
    options: Mapping = field(default_factory=dict)
    cache: dict = field(default_factory=dict)

    def tokens(self, owners: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """`[1 or B, T, R]` for a layer that got `like` `[B,T,C]`; owners `[R]`: person indices."""
        grid = grid_of(like, self.options, self.grids)
        key = (grid, owners, like.dtype, like.device)
        if key not in self.cache:
            self.cache[key] = self.pixels(grid, owners, like).flatten(2).transpose(1, 2)
        return self.cache[key]

    def pixels(self, grid: tuple[int, int], owners: tuple[int, ...], like: torch.Tensor):
        """`[1 or B, R, h, w]` for a convolution whose output has this grid."""
        return self._cached(("pixels", grid, owners), like, lambda: reduce_to(self.gates, *grid))

    def vectors(self, owners: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """`[1 or B, R]` for layers without space (time and label embeddings): the mean of the
        mask."""
        return self._cached(("mean", owners), like, lambda: self.gates.mean((1, 2)))

    def _cached(self, key: tuple, like: torch.Tensor, build) -> torch.Tensor:
        *_, owners = key
        key = (*key, like.dtype, like.device)
        if key not in self.cache:
            per_row = build()[list(owners)][None]
            if self.ours is not None:
                per_row = per_row * self.ours.view(-1, *[1] * (per_row.ndim - 1))
            # Channels last: seen as tokens it is then contiguous, where it is used most.
            if per_row.ndim == 4:
                per_row = per_row.contiguous(memory_format=torch.channels_last)
            self.cache[key] = per_row.to(like.device, like.dtype)
        return self.cache[key]
