"""GroupNorm by region, in UNets: what one person's LoRA does to a channel's mean and spread is not to
shift everybody else's pixels.

A norm takes its statistics over the whole picture, so that a LoRA in one corner moves all others; on a
taught model this, not attention, carries most of what leaks (`benchmarks/README.md`, leak_paths). Here
a person's pixels are normalised by the statistics of what they see in isolated attention, too: that
person's pixels and nobody's. Nobody's pixels keep those of the whole picture. Soft masks blend:

    y = sum_r w_r (x - m_r) / s_r,  m_r and s_r over the pixels with weight w_r + w_nobody
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from comfy.ops import cast_bias_weight, uncast_bias_weight
from torch import nn

from .kinds.forms import NORMALISED, with_parameters
from .region_gate import RegionGate

_FLAT = 1e-3
"""The least spread that a region is taken to have, in parts of its distance from the picture's mean."""
Replacement = tuple[nn.Module, str, Callable]
"""Of a method, as `lifetime.py` takes it."""


def is_untouched(layer: nn.GroupNorm) -> bool:
    """Whether nobody replaced the norm's forward, on the layer or on its class (AnimateDiff-Evolved
    norms all frames together)."""
    own = ("comfy.ops", "torch.nn.modules.normalization")
    return "forward" not in layer.__dict__ and type(layer).forward.__module__ in own


@dataclass
class Regions:
    """Of one grid, R people who have a place there. own `[1 or B, R, P]`: their weights at the P pixels;
    seen `[1 or B, P, R]`: the pixels that each one's statistics are over, summing to 1."""

    own: torch.Tensor
    seen: torch.Tensor


@dataclass
class IsolatedNorms:
    """Makes the replacements of one structure of the batch."""

    gate: RegionGate
    cache: dict = field(default_factory=dict)

    def replacements(self, layer: nn.GroupNorm, strength: float) -> Iterator[Replacement]:
        """Of its methods: `(1 - strength) usual + strength by region`, with and without the layer's
        weight and bias."""
        original = layer.forward

        def normalised(x: torch.Tensor) -> torch.Tensor:
            regions = self._regions(x) if x.ndim == 4 else None
            if regions is None:
                return F.group_norm(x, layer.num_groups, eps=layer.eps)
            return _normalised(layer, x, regions, strength)

        def forward(x: torch.Tensor) -> torch.Tensor:
            if x.ndim != 4 or self._regions(x) is None:
                return original(x)
            with _parameters(layer, x) as (weight, bias):
                return with_parameters(normalised(x), weight, bias)

        yield layer, "forward", forward
        yield layer, NORMALISED, normalised

    def _regions(self, x: torch.Tensor) -> Regions | None:
        """None where fewer than two people have a pixel."""
        key = (x.shape[-2:], x.device)
        if key not in self.cache:
            everybody = tuple(range(len(self.gate.gates)))
            like = x.new_empty(0, dtype=torch.float32)
            own = self.gate.pixels((x.shape[2], x.shape[3]), everybody, like).flatten(2)
            own = own[:, own.sum((0, 2)) > 0]
            nobodys = (1 - own.sum(1, keepdim=True)).clamp(min=0)
            seen = own + nobodys
            seen = (seen / seen.sum(2, keepdim=True)).transpose(1, 2).contiguous()
            self.cache[key] = Regions(own, seen) if own.shape[1] > 1 else None
        return self.cache[key]


def _normalised(
    layer: nn.GroupNorm, x: torch.Tensor, regions: Regions, strength: float
) -> torch.Tensor:
    """x `[B,C,H,W]` without weight and bias."""
    batch, channels, height, width = x.shape
    groups, pixels = layer.num_groups, height * width
    # The usual norm first, whose numbers are near 1 whatever those of x are; then each region's of
    # that. In float32, for what is nearly flat is stretched much.
    usual, _, rate = torch.native_group_norm(
        x.float(), None, None, batch, channels, pixels, groups, layer.eps
    )
    usual = usual.reshape(batch, groups, channels // groups, pixels)
    mean, square = (_means(part, regions.seen) for part in (usual, usual * usual))
    # Where a region is flat nothing but rounding is left, which must not be stretched.
    variance = torch.maximum(square - mean * mean, _FLAT**2 * square)
    # The norm adds eps to the variance of x, which is that of the usual norm by rate^2.
    rates = (variance + layer.eps * rate[..., None] ** 2).rsqrt()
    own = strength * regions.own
    scale, shift = rates @ own, (mean * rates) @ own
    scale = scale + 1 - own.sum(1, keepdim=True)
    y = (usual * scale[:, :, None]).sub_(shift[:, :, None])
    return y.reshape(x.shape).to(x.dtype)


def _means(x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """x `[B,G,C,P]`, seen `[1 or B,P,R]` -> `[B,G,R]`, over a group's channels and each one's pixels."""
    return x.mean(2) @ seen


@contextmanager
def _parameters(layer: nn.GroupNorm, x: torch.Tensor):
    """The layer's weight and bias, from wherever ComfyUI keeps them."""
    # ComfyUI-GGUF's layers, whose tensors carry their patches.
    if hasattr(layer, "cast_bias_weight"):
        yield layer.cast_bias_weight(x)
        return
    if not hasattr(layer, "comfy_cast_weights"):
        yield layer.weight, layer.bias
        return
    weight, bias, stream = cast_bias_weight(layer, x, offloadable=True)
    yield weight, bias
    uncast_bias_weight(layer, weight, bias, stream)
