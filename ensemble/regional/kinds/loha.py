"""LoHa: a difference that is the elementwise product of two products."""

from __future__ import annotations

import torch

from ...core import LohaFactors
from .kind import Kind, Target, product, scale_of


def _change(parts: LohaFactors, target: Target):
    """`(A B) * (C D)` is a product again, of rank r1 * r2: row by row of A and C, column by column of
    B and D, every pair of their ranks (Khatri-Rao). None where the whole difference is smaller."""
    if parts.t1 is not None:
        return None
    (rows, first), second = parts.w1_a.shape, parts.w2_a.shape[1]
    columns = parts.w1_b.shape[1]
    if first * second * (rows + columns) > rows * columns:
        return None
    up = torch.einsum("oi,oj->oij", parts.w1_a.float(), parts.w2_a.float()).flatten(1)
    down = torch.einsum("ic,jc->ijc", parts.w1_b.float(), parts.w2_b.float()).flatten(0, 1)
    return product(up, down, scale_of(parts.alpha, first), parts.dora_scale, target)


LOHA = Kind("LoHa", LohaFactors, _change)
