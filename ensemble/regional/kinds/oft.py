"""OFT and BOFT: the layer's output channels turned, in blocks or in a butterfly of blocks.

`W' = R W` is `y' = R (W x)`: nothing of the weight is needed, and nothing is truncated. Core's
merging is followed to the letter: it takes OFT's strength twice, and leaves out OFT's rescale.
"""

from __future__ import annotations

import torch

from ...core import OftFactors
from .forms import Rotation
from .kind import Kind, Target


def _change(parts: OftFactors, target: Target):
    if parts.dora_scale is not None:
        return None
    blocks = parts.blocks.float()
    identity = torch.eye(blocks.shape[-1])
    skew = blocks - blocks.transpose(-1, -2)
    bound = parts.alpha or 0
    size = torch.norm(skew) + 1e-8
    if bound > 0 and size > bound:
        skew = skew * bound / size
    turn = (identity + skew) @ (identity - skew).inverse()  # Cayley
    if blocks.ndim == 3:
        return Rotation(turn.transpose(-1, -2)[None], butterfly=False, gain=target.strength**2)
    turn = turn * target.strength + (1 - target.strength) * identity
    scale = None if parts.rescale is None else parts.rescale.float().flatten()
    return Rotation(turn, butterfly=True, gain=target.strength, scale=scale)


OFT = Kind("OFT", OftFactors, _change)
