"""How much of the picture's prediction comes from the base and from each person, at every point."""

import torch
import torch.nn.functional as F


def region_weights(masks: torch.Tensor, base_strength: float) -> torch.Tensor:
    """Weights of the base (first) and of every person; at each point they sum to 1.

    With masks `m_i` and base strength `b` the base weighs `1 - (1-b) * min(1, sum m_i)`, which is 1
    where nobody is, and a person weighs `m_i`; all are divided by their sum.

    masks `[N,H,W]` in 0..1 -> `[N+1,H,W]` float32.
    """
    masks = masks.float()
    base = 1.0 - (1.0 - base_strength) * masks.sum(0, keepdim=True).clamp(max=1.0)
    weights = torch.cat([base, masks])
    return weights / weights.sum(0, keepdim=True).clamp(min=1e-8)


def adapter_gates(masks: torch.Tensor) -> torch.Tensor:
    """How strongly each person's LoRA acts at every point: the mask itself, so that a point which is
    one person's alone gets that LoRA in full, and shared points share it. `[N,H,W]` -> `[N,H,W]`."""
    masks = masks.float()
    return masks / masks.sum(0, keepdim=True).clamp(min=1.0)


def reduce_to(weights: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Area means of `[N,H,W]` on a coarser (or, by repetition, finer) grid `[N,height,width]`.

    Means keep feathers and small heads that picking single points would lose, and keep sums at 1.
    """
    return F.adaptive_avg_pool2d(weights.float()[None], (height, width))[0]
