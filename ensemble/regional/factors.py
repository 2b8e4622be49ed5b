"""One person's change of one layer, as a low-rank product that a forward pass can add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..core import LohaFactors, LokrFactors, LoraFactors, WeightPatch, factors_of, merged_weight

MAX_RANK = 128
MAX_ERROR = 0.1
"""Largest relative (Frobenius) error at which a truncated product still stands for the change."""


@dataclass(frozen=True)
class Factors:
    """`delta W = up @ down`, plus what is not a product of weights.

    up `[out, r]`; down `[r, in]` or `[r, in, kh, kw]`; bias `[out]` is added to the layer's;
    gain `[out]` multiplies the layer's own product without its bias (DoRA); error is relative.
    """

    up: torch.Tensor
    down: torch.Tensor
    gain: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    error: float = 0.0

    @staticmethod
    def nothing(shape: torch.Size, bias: torch.Tensor | None = None) -> Factors:
        """No change of a weight `[out, in, ...]`, perhaps one of its bias."""
        return Factors(torch.zeros(shape[0], 0), torch.zeros(0, *shape[1:]), bias=bias)

    def then(self, other: Factors) -> Factors:
        """This change, and `other` of the layer as it is after this one.

        After `(1 + g) W + U D` a second gain h makes `(1 + h)(1 + g) W + (1 + h) U D + …`.
        """
        up = self.up if other.gain is None else self.up * (1.0 + other.gain)[:, None]
        gain = _sum(self.gain, other.gain)
        if self.gain is not None and other.gain is not None:
            gain = gain + self.gain * other.gain
        return Factors(
            torch.cat([up, other.up], 1), torch.cat([self.down, other.down]), gain,
            _sum(self.bias, other.bias), max(self.error, other.error),
        )  # fmt: skip

    def in_rows(self, start: int, total: int) -> Factors:
        """The same change for `total` output channels, of which it touches those from `start`."""

        def spread(rows: torch.Tensor | None):
            if rows is None:
                return None
            whole = rows.new_zeros(total, *rows.shape[1:])
            whole[start : start + rows.shape[0]] = rows
            return whole

        return Factors(spread(self.up), self.down, spread(self.gain), spread(self.bias), self.error)  # type: ignore[arg-type]


def _sum(a: torch.Tensor | None, b: torch.Tensor | None):
    return b if a is None else a if b is None else a + b


class NotLowRankError(ValueError):
    """The change cannot be written as a small product; `method = exact` can still apply it."""


def factorise(
    patch: WeightPatch, shape: torch.Size, running: Callable[[], torch.Tensor], *, key: str,
    max_error: float = MAX_ERROR,
) -> Factors:  # fmt: skip
    """One patch of a weight `[out, in, ...]` of that shape, at its strength, as Factors.

    running: gives the weight as it is before this patch, on the CPU; only asked for where the
    change depends on it. LoRA, LoCon, Tucker and output-axis DoRA are exact; all else goes through
    a truncated SVD, which is exact when the change's own rank is at most MAX_RANK. NotLowRankError
    where the product would miss more than `max_error` of the change.
    """
    parts = factors_of(patch.patch)
    if isinstance(parts, LoraFactors) and parts.reshape is None and patch.function is None:
        found = _product(parts, patch, shape, running)
        if found is not None:
            return found
    weight = running()
    delta = merged_weight(weight, [patch], key) - weight.float()
    return _svd(delta, _rank_bound(parts), key, max_error)


def _product(
    parts: LoraFactors, patch: WeightPatch, shape: torch.Size, running: Callable
) -> Factors | None:
    """None where a slice or a DoRA along the input axis has no such form."""
    axis, start, length = patch.offset or (0, 0, shape[0])
    dora = parts.dora_scale
    if axis != 0 or (dora is not None and dora.shape[0] != length):
        return None
    up, down = parts.up.float().flatten(1), parts.down.float()
    scale = parts.alpha / down.shape[0] if parts.alpha is not None else 1.0
    if parts.mid is not None:  # Tucker form: the two inner cores are one convolution
        down = torch.einsum("ijhw,jn->inhw", parts.mid.float(), down.flatten(1))
    else:
        down = down.reshape(down.shape[0], *shape[1:])
    up, gain = up * (scale * patch.strength), None
    if dora is not None:
        # As core merges it: `W' = d (W + BA)` with `d = magnitude / |W|` per row, which is a gain
        # `d - 1` on the layer's product plus the rows of B scaled by d.
        weight = running().float().narrow(0, start, length)
        ratio = dora.float().flatten() / (weight.flatten(1).norm(dim=1) + _EPSILON)
        up, gain = up * ratio[:, None], patch.strength * (ratio - 1.0)
    return Factors(up, down, gain).in_rows(start, shape[0])


_EPSILON = torch.finfo(torch.float32).eps


def _rank_bound(parts: object) -> int:
    """The largest rank that the change can have by its own form."""
    if getattr(parts, "dora_scale", None) is not None:
        return MAX_RANK  # DoRA around it: no bound
    if isinstance(parts, LoraFactors):
        return parts.down.shape[0]
    if isinstance(parts, LohaFactors):
        return parts.w1_b.shape[0] * parts.w2_b.shape[0]
    if isinstance(parts, LokrFactors):
        left = _inner(parts.w1, parts.w1_b)
        return left * _inner(parts.w2, parts.w2_b)
    return MAX_RANK


def _inner(whole, right) -> int:
    """The rank of one side of a Kronecker product, given whole or as a product of two."""
    return min(whole.flatten(1).shape) if right is None else right.shape[0]


def _svd(delta: torch.Tensor, bound: int, key: str, max_error: float) -> Factors:
    matrix = delta.flatten(1)
    rank = min(bound, MAX_RANK, *matrix.shape)
    # Two power iterations and spare columns keep the randomised SVD at the optimum (Halko 2011).
    spare = min(rank + 8, *matrix.shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        left, values, right = torch.svd_lowrank(matrix, q=spare, niter=2)
    up, down = left[:, :rank] * values[:rank], right[:, :rank].T.contiguous()
    size = matrix.norm()
    error = float((matrix - up @ down).norm() / size) if size > 0 else 0.0
    if error > max_error:
        raise NotLowRankError(
            f"{key}: a product of rank {rank} misses {error:.0%} of this LoRA's change "
            f"({max_error:.0%} is allowed). Choose method = exact, which applies it whole."
        )
    return Factors(up, down.reshape(rank, *delta.shape[1:]), error=error)
