"""GLoRA: a difference that is partly made of the weight itself, `W A + B` with A and B products."""

from __future__ import annotations

import torch

from ...core import GloraFactors
from .kind import Kind, Target, product, scale_of


def _change(parts: GloraFactors, target: Target):
    """`(W a1) a2 + b1 b2`: products both, of which the first is made of the weight at hand."""
    a1, a2, b1, b2 = (t.float().flatten(1) for t in parts[:4])
    weight = target.weight()
    if is_old(a1, a2, b1, b2, target.shape):
        up, down = torch.cat([weight.flatten(1) @ a2, b2], 1), torch.cat([a1, b1])
        rank = a1.shape[0]
    else:
        rank, kernel = a2.shape[0], target.shape[2:]
        through = torch.einsum("oi...,ij->oj...", weight, a1).flatten(1)  # [out, r*kh*kw]
        # Behind a 1x1 convolution (a2) the kernel is the weight's own: each of its places is a rank.
        places = torch.eye(kernel.numel()).view(kernel.numel(), *kernel)
        spread = torch.einsum("ri,p...->rpi...", a2, places).flatten(0, 1)
        up = torch.cat([through, b1], 1)
        down = torch.cat([spread.flatten(1), b2])
    return product(up, down, scale_of(parts.alpha, rank), parts.dora_scale, target)


def is_old(a1, a2, b1, b2, shape: torch.Size) -> bool:
    """Which of the two layouts a file has; where both fit, core takes the old one for square weights
    only."""
    old = b2.shape[1] == b1.shape[0] == a1.shape[0] == a2.shape[1]
    new = b2.shape[0] == b1.shape[1] == a1.shape[1] == a2.shape[0]
    if new and not (old and a2.shape[0] == shape[0] == shape[1]):
        return False
    return old


GLORA = Kind("GLoRA", GloraFactors, _change)
