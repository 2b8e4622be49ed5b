"""Who hides whom where people overlap: bodies by how near they are, their parts by what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .body import depth_order, torso_centre
from .capsules import ARMS, Part

# So many levels must people be told apart for the arms of the nearer one to hide the other's head.
OVER_HEADS = 2
_ARMS = (Part.R_ARM, Part.L_ARM)
_WHOLE = (Part.TRUNK,)
# Capsules hold clothes; what is sure to hide something is this much thinner, in torso lengths.
_THINNER = 0.04
# A wrist is on another body where it lies so much deeper in it than in its own, in torso lengths.
_DEEPER = 0.04


@dataclass(frozen=True, eq=False)
class Depth:
    """rank: `[N]`, 0 is nearest. front: what was said of each, 0 where nothing was. laid
    `[N,N,Part]` of bool: whether that arm of the first lies on the second, from farther behind."""

    rank: np.ndarray
    front: Sequence[float]
    laid: np.ndarray

    def before(self, a: tuple[int, Part], b: tuple[int, Part]) -> bool:
        """Whether part a of one body hides part b of another where both are; of two, one does.

        Heads are before arms, as faces are what a picture is about; otherwise the nearer body is,
        but an arm of the farther one that is laid on it goes round it.
        """
        (i, mine), (j, theirs) = a, b
        if mine in _ARMS and theirs is Part.HEAD:
            return self.front[i] - self.front[j] >= OVER_HEADS
        if mine is Part.HEAD and theirs in _ARMS:
            return self.front[j] - self.front[i] < OVER_HEADS
        nearer = bool(self.rank[i] < self.rank[j])
        laid = self.laid[j, i, theirs] if nearer else self.laid[i, j, mine]
        return nearer != bool(laid)


def depth_of(
    bodies: np.ndarray,
    front: Sequence[float] | None,
    fields: torch.Tensor,
    grid: tuple[torch.Tensor, torch.Tensor],
) -> Depth:
    """Of `[N,18,3]` bodies: by `front`, larger is nearer, and where that is equal as they stand
    (body.depth_order). fields: `[N,P,h,w]` of part_fields on the grid's x and y, or with P = 1 of
    whole bodies, whose arms nobody knows."""
    said = np.zeros(len(bodies)) if front is None else np.asarray(front, dtype=float)
    rank = np.empty(len(bodies), dtype=int)
    rank[np.lexsort((depth_order(bodies), -said))] = np.arange(len(bodies))
    laid = np.zeros((len(bodies), len(bodies), len(Part)), dtype=bool)
    if fields.shape[1] == len(Part):
        _find_laid_arms(laid, bodies, rank, fields, grid)
    return Depth(rank, said.tolist(), laid)


def in_front(masks: torch.Tensor, front: Sequence[float] | None) -> torch.Tensor:
    """Masks `[N,H,W]` of which each has only what nobody leaves who is farther in front."""
    if front is None or len(set(front)) < 2:
        return masks
    left = masks.clone()
    for i, mine in enumerate(front):
        for j, theirs in enumerate(front):
            if theirs > mine:
                left[i] *= 1 - masks[j]
    return left


def _find_laid_arms(
    laid: np.ndarray,
    bodies: np.ndarray,
    rank: np.ndarray,
    fields: torch.Tensor,
    grid: tuple[torch.Tensor, torch.Tensor],
) -> None:
    """A wrist that is seen deeper in a nearer body than in its own, at the end of an arm that leads
    towards that body's middle, lies on it: were it behind, it would not be seen. Arms that merely
    hang behind somebody lead elsewhere (measured: benchmarks/overlap.py)."""

    def away(body: int, place: np.ndarray) -> float:
        column, row = (
            min(int(np.searchsorted(axis.numpy(), at)), len(axis) - 1)
            for axis, at in zip(grid, place, strict=False)
        )
        return float(fields[body, [Part.HEAD, Part.TRUNK], row, column].min())

    for owner, body in enumerate(bodies):
        for shoulder, _, wrist, arm in ARMS:
            if body[wrist, 2] <= 0:
                continue
            own = away(owner, body[wrist])
            for other in np.flatnonzero(rank < rank[owner]):
                far = np.abs(body[[wrist, shoulder], 0] - torso_centre(bodies[other])[0])
                towards = body[shoulder, 2] <= 0 or far[0] < far[1]
                laid[owner, other, arm] = towards and away(other, body[wrist]) < min(
                    own - _DEEPER, 0.0
                )


def hidden(fields: torch.Tensor, depth: Depth, feather: float) -> torch.Tensor:
    """How much of each part others' parts hide at every point, 0..1, `[N,P,h,w]` as fields."""
    parts = tuple(Part) if fields.shape[1] == len(Part) else _WHOLE
    layers = [(body, part) for body in range(len(fields)) for part in parts]
    covers = torch.sigmoid((fields + _THINNER) * (-2 / feather)).flatten(0, 1)
    result = torch.zeros_like(covers)
    for under, below in enumerate(layers):
        over = [
            i
            for i, above in enumerate(layers)
            if above[0] != below[0] and depth.before(above, below)
        ]
        for i in over:
            torch.maximum(result[under], covers[i], out=result[under])
    return result.view_as(fields)
