"""How much of the picture's prediction comes from the base and from each person, at every point."""

from collections.abc import Sequence

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


def adapter_gates(masks: torch.Tensor, people: int | None = None) -> torch.Tensor:
    """How strongly each person's LoRA acts at every point: the mask itself, so that a point which is
    one person's alone gets that LoRA in full, and shared points share it. `[N,H,W]` -> `[N,H,W]`.

    people: how many of the masks are a person's; what those behind them change, of several people
    together, acts as their members' own (`ensemble/regional/build.py`), and not by itself.
    """
    masks = masks.float()
    own = masks[:people]
    gates = own / own.sum(0, keepdim=True).clamp(min=1.0)
    return torch.cat([gates, torch.zeros_like(masks[len(own) :])])


def picture_weights(
    masks: torch.Tensor, base_strength: float, together: Sequence[Sequence[int]]
) -> torch.Tensor:
    """How much each person's picture says at every point: as their own text does, and, of what several
    do together, what is that person's place. Else a text beside theirs would take from who they are.

    masks: of N people, then of each part of `together`, which lists its members. `[N+T,H,W]` -> the same.
    """
    weights = region_weights(masks, base_strength)[1:]
    people = len(masks) - len(together)
    gates = adapter_gates(masks[:people])
    for part, members in zip(weights[people:], together, strict=True):
        for member in members:
            weights[member] += part * gates[member]
    return weights


# How much a text of several people together weighs beside each one's own.
_TOGETHER = 0.5
# How far apart people still meet, in parts of the canvas's shorter side.
_MEET = 0.06


def together(masks: torch.Tensor) -> torch.Tensor:
    """Where a text of several people together acts, and how much: in their masks `[N,H,W]`, and
    between them where they meet. `[H,W]`."""
    reach = max(1, round(_MEET * min(masks.shape[-2:])))
    grown = F.max_pool2d(masks.float()[None], 2 * reach + 1, 1, reach)[0]
    # At least two of them reach here.
    between = grown.topk(min(2, len(masks)), dim=0).values[-1]
    return _TOGETHER * torch.maximum(masks.float().amax(0), between)


def reduce_to(weights: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Area means of `[N,H,W]` on a coarser (or, by repetition, finer) grid `[N,height,width]`.

    Means keep feathers and small heads that picking single points would lose, and keep sums at 1.
    """
    return F.adaptive_avg_pool2d(weights.float()[None], (height, width))[0]
