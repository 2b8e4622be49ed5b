"""LoKr: a difference that is a Kronecker product, each side whole or itself a product."""

from __future__ import annotations

import torch

from ...core import LokrFactors
from .forms import Form, Kronecker
from .kind import Kind, Target, scale_of
from .product import Factors


def _change(parts: LokrFactors, target: Target):
    rank = None  # core divides alpha by the last of these
    if parts.w1 is None:
        rank = parts.w1_b.shape[0]  # type: ignore[union-attr]
        left = parts.w1_a.float() @ parts.w1_b.float()  # type: ignore[union-attr]
    else:
        left = parts.w1.float()
    (_, inner), down = left.shape, None
    if inner == 0 or target.shape[1] % inner:
        return None
    kernel = (target.shape[1] // inner, *target.shape[2:])
    if parts.w2 is None:
        rank = parts.w2_b.shape[0]  # type: ignore[union-attr]
        right, down = parts.w2_a.float(), parts.w2_b.float()  # type: ignore[union-attr]
        if parts.t2 is not None:  # Tucker form
            right, down = right.T, torch.einsum("ijhw,jn->inhw", parts.t2.float(), down)
        down = down.reshape(down.shape[0], *kernel)
    else:
        right = parts.w2.float().reshape(-1, *kernel)
    if left.shape[0] * right.shape[0] != target.shape[0]:
        return None
    left = left * ((1.0 if rank is None else scale_of(parts.alpha, rank)) * target.strength)
    if down is not None and down.shape[0] >= right.shape[0]:  # no cheaper than their product
        right, down = torch.einsum("kr,r...->k...", right, down), None
    if parts.dora_scale is None:
        return Kronecker(left, right, down)
    return _within_dora(left, right, down, parts.dora_scale, target)


def _within_dora(left, right, down, scale, target: Target) -> tuple[Factors | Form, ...] | None:
    dora = target.dora(scale)
    if dora is None:
        return None
    gain = Factors.nothing(target.shape)
    return Factors(gain.up, gain.down, dora.gain), Kronecker(left, right, down, dora.ratio)


LOKR = Kind("LoKr", LokrFactors, _change)
