"""Whole changed weights per person, for what no low-rank product expresses (method = exact
only)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

CHANGEABLE = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)
"""Layers of which every person can have their own weights."""


class WeightVariants(nn.Module):
    """A module of tensors, so that memory management counts them.

    layers: layer name -> person -> (weight, bias or None), already with that person's LoRAs merged.
    """

    def __init__(
        self, layers: Mapping[str, Mapping[int, tuple[torch.Tensor, torch.Tensor | None]]]
    ):
        super().__init__()
        self.tensors = nn.ParameterList()
        self.layers: dict[str, dict[int, tuple[nn.Parameter, nn.Parameter | None]]] = {
            name: {who: (self._keep(w), self._keep(b)) for who, (w, b) in people.items()}
            for name, people in layers.items()
        }

    def _keep(self, tensor: torch.Tensor | None):
        if tensor is None:
            return None
        self.tensors.append(nn.Parameter(tensor, requires_grad=False))
        return self.tensors[-1]

    def replacements(self, unet: nn.Module, people: Sequence[int]) -> Iterator:
        for name, variants in self.layers.items():
            layer = unet.get_submodule(name)
            yield layer, _by_person(layer, variants, people)


def _by_person(layer: nn.Module, variants: Mapping, people: Sequence[int]) -> Callable:
    """The forward with each person's rows computed again, from that person's weights."""
    original = layer.forward
    rows = {who: [i for i, p in enumerate(people) if p == who] for who in variants}

    def forward(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        y = original(x, *args, **kwargs)
        for who, index in rows.items():
            if index:
                weight, bias = (t if t is None else t.to(x) for t in variants[who])
                y[index] = _apply(layer, x[index], weight, bias)
        return y

    return forward


def _apply(layer: nn.Module, x: torch.Tensor, weight, bias) -> torch.Tensor:
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(x, layer.num_groups, weight, bias, layer.eps)
    if isinstance(layer, nn.LayerNorm):
        return F.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
    raise TypeError(f"a LoRA for a {type(layer).__name__} layer is not supported")
