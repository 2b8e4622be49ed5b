"""Attention that also tells the logarithm of its softmax's denominator (log-sum-exp), with which
attentions over parts of the keys are joined into one."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

Attend = Callable[..., tuple[torch.Tensor, torch.Tensor]]
"""`(q, k, v, scale) -> (out [B,H,S,D], log-sum-exp [B,H,S])`, of `[B,H,S,D]`."""
HALVES = (torch.float16, torch.bfloat16)
aten = torch.ops.aten


def kernel_for(q: torch.Tensor) -> Attend | None:
    """The device's fused kernel that returns the log-sum-exp; None where there is none that can be
    relied on (MPS, ROCm, bfloat16 before Ampere)."""
    if q.device.type == "cpu":
        return _cpu
    if q.device.type != "cuda" or torch.version.hip or q.shape[-1] % 8 or q.shape[-1] > 256:
        return None
    ampere = _capability(q.device) >= (8, 0)
    if q.dtype in HALVES and ampere:
        return _flash
    return None if q.dtype is torch.bfloat16 and not ampere else _efficient


@functools.cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)


def _cpu(q, k, v, scale):
    return aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, scale=scale)[:2]


def _flash(q, k, v, scale):
    return aten._scaled_dot_product_flash_attention(q, k, v, scale=scale)[:2]


def _efficient(q, k, v, scale):
    out, log_sum_exp, *_ = aten._scaled_dot_product_efficient_attention(
        q, k, v, None, True, scale=scale
    )
    return out, log_sum_exp[..., : q.shape[2]]  # the kernel pads it to a multiple of 32
