"""Attention that also tells the logarithm of its softmax's denominator (log-sum-exp), with which
attentions over parts of the keys are joined into one."""

from __future__ import annotations

from collections.abc import Callable

import torch

Attend = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""`(q, k, v, scale) -> (out [B,H,S,D], log-sum-exp [B,H,S])`, of `[B,H,S,D]`."""
HALVES = (torch.float16, torch.bfloat16)
aten = torch.ops.aten


def kernel_for(q: torch.Tensor) -> Attend | None:
    """The device's fused kernel that returns the log-sum-exp; None where there is none (MPS)."""
    if q.device.type == "cpu":
        return _cpu
    if q.device.type != "cuda" or q.shape[-1] % 8 or q.shape[-1] > 256:
        return None
    return _flash if q.dtype in HALVES else _efficient


def _cpu(q, k, v, scale):
    return aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=scale)[:2]


def _flash(q, k, v, scale):
    return aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[:2]


def _efficient(q, k, v, scale):
    out, log_sum_exp, *_ = aten._scaled_dot_product_efficient_attention(
        q, k, v, None, True, scale=scale
    )
    return out, log_sum_exp[..., : q.shape[2]]  # the kernel pads it to a multiple of 32
