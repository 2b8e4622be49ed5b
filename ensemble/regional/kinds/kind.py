"""What an entry of the registry of kinds says, and what it is told of a patch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ...core import WeightPatch
from .forms import Form
from .product import Factors

Change = Factors | Form
_EPSILON = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class Target:
    """Where a patch goes. shape `[out, in, ...]`: of the weight, or of the slice of it that the patch
    changes. weight: gives that as it is before this patch, float32 on the CPU; only asked for where
    the change depends on it."""

    patch: WeightPatch
    shape: torch.Size
    weight: Callable[[], torch.Tensor]

    @property
    def strength(self) -> float:
        return self.patch.strength

    def dora(self, scale: torch.Tensor) -> Dora | None:
        """What DoRA with this scale does along the output channels; None where its scale is along
        the input's.

        As core merges it: `W' = d (W + D)` with `d = magnitude / |W|` per row, which is a gain
        `d - 1` on the layer's product plus the rows of D scaled by d.
        """
        if scale.shape[0] != self.shape[0]:
            return None
        norm = self.weight().flatten(1).norm(dim=1) + _EPSILON
        ratio = scale.float().flatten() / norm
        return Dora(ratio, self.strength * (ratio - 1.0))


class Dora(NamedTuple):
    """Both `[out]`: what the rows of the difference are scaled by, and the gain of the layer's own."""

    ratio: torch.Tensor
    gain: torch.Tensor


class Kind(NamedTuple):
    """One kind of adapter. factors: core's, by which it is recognised. change: its cheap form, exact;
    None where only the whole difference holds it."""

    name: str
    factors: type
    change: Callable[[Any, Target], Change | tuple[Change, ...] | None]


def product(up: torch.Tensor, down: torch.Tensor, scale: float, dora_scale, target: Target):
    """`scale * up @ down` at the target's strength, within a DoRA where there is one."""
    up, gain = up.float().flatten(1) * (scale * target.strength), None
    if dora_scale is not None:
        dora = target.dora(dora_scale)
        if dora is None:
            return None
        up, gain = up * dora.ratio[:, None], dora.gain
    return Factors(up, down.float().reshape(down.shape[0], *target.shape[1:]), gain)


def scale_of(alpha: float | None, rank: int) -> float:
    """Core's: without an alpha, 1."""
    return 1.0 if alpha is None else alpha / rank
