"""One person's change to one layer, as a low-rank product that a forward pass can add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.lora
import torch
from comfy.weight_adapter import LoHaAdapter, LoKrAdapter, LoRAAdapter

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


class NotLowRankError(ValueError):
    """The change cannot be written as a small product; `method = exact` can still apply it."""


def factorise(patch: Any, weight: torch.Tensor, key: str, max_error: float = MAX_ERROR) -> Factors:
    """Turn what core's `load_lora` parsed for one weight into Factors.

    LoRA, LoCon, Tucker and output-axis DoRA are exact; LoHa, LoKr and full differences go through a
    truncated SVD, which is exact when their own rank is at most MAX_RANK.
    Raises NotLowRankError when the product would miss more than `max_error` of the change.
    """
    if isinstance(patch, LoRAAdapter) and patch.weights[5] is None:
        return _lora(patch, weight, max_error)
    delta = dense_weight(patch, weight, key) - weight.float().cpu()
    return _svd(delta, _rank_bound(patch), key, max_error)


def dense_weight(
    patch, weight: torch.Tensor, key: str, strength: float = 1.0, offset=None, arrange=None
):
    """The layer's weight with the patch merged at `strength`, by core's own arithmetic, float32, on the
    CPU; offset and arrange as in core's patch keys."""
    weight = weight.cpu()
    return comfy.lora.calculate_weight(
        [(strength, patch, 1.0, offset, arrange)],
        weight.to(torch.float32, copy=True),
        key,
        original_weights={key: [(weight, lambda w, **_: w)]},
    )


def _lora(adapter: LoRAAdapter, weight: torch.Tensor, max_error: float) -> Factors:
    up, down, alpha, mid, dora_scale, _ = adapter.weights
    up, down = up.float().flatten(1), down.float()
    scale = alpha / down.shape[0] if alpha is not None else 1.0
    if mid is not None:  # Tucker form: the two inner cores are one convolution
        down = torch.einsum("ijhw,jn->inhw", mid.float(), down.flatten(1))
    elif weight.ndim == 2:
        down = down.flatten(1)
    else:
        down = down.reshape(down.shape[0], weight.shape[1], *weight.shape[2:])
    up = up * scale
    if dora_scale is None:
        return Factors(up, down)
    return _dora(up, down, dora_scale.float(), weight.float().cpu(), max_error)


def _dora(up, down, magnitude, weight, max_error) -> Factors:
    """DoRA as core merges it: on the output axis `W' = d (W + BA)` with `d = magnitude / |W|` per
    row, which is a gain `d - 1` on the layer's product plus the rows of B scaled by d. On the
    input axis the norms are those of the changed columns and no such form exists."""
    if magnitude.shape[0] != weight.shape[0]:
        delta = torch.mm(up, down.flatten(1)).reshape(weight.shape)
        changed = weight + delta
        norm = (
            changed.transpose(0, 1).flatten(1).norm(dim=1).reshape(1, -1, *[1] * (weight.ndim - 2))
        )
        merged = changed * (magnitude / (norm + torch.finfo(weight.dtype).eps))
        return _svd(merged - weight, MAX_RANK, "DoRA on the input axis", max_error)
    norm = weight.flatten(1).norm(dim=1) + torch.finfo(weight.dtype).eps
    ratio = magnitude.flatten() / norm
    return Factors(up * ratio[:, None], down, gain=ratio - 1.0)


def _rank_bound(patch: Any) -> int:
    """The largest rank that the change can have by its own form."""
    if isinstance(patch, (LoHaAdapter, LoKrAdapter)) and patch.weights[-1] is not None:
        return MAX_RANK  # DoRA around it: no bound
    if isinstance(patch, LoHaAdapter):
        return patch.weights[1].shape[0] * patch.weights[4].shape[0]
    if isinstance(patch, LoKrAdapter):
        first, second, _, _, b1, _, b2, _, _ = patch.weights
        left = min(first.shape) if first is not None else b1.shape[0]
        if second is not None:
            return left * min(second.flatten(1).shape)
        return left * b2.shape[0]
    return MAX_RANK


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
