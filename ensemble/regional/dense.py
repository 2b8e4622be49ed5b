"""Whole differences of weights per person, for what no low-rank product expresses (method = exact
only)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

Difference = tuple[torch.Tensor | None, torch.Tensor | None]
"""Of a layer's weight and bias; None for one that stays."""


CHANGEABLE = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm)
"""Layers that `_change` knows."""


class DenseChanges(nn.Module):
    """layers: name of the layer -> person index -> difference. A module of tensors, so that memory
    management counts them."""

    def __init__(self, layers: Mapping[str, Mapping[int, Difference]], dtype: torch.dtype):
        super().__init__()
        self.tensors = nn.ParameterList()
        self.layers = {
            name: {
                who: tuple(self._keep(tensor, dtype) for tensor in difference)
                for who, difference in people.items()
            }
            for name, people in layers.items()
        }

    def _keep(self, tensor: torch.Tensor | None, dtype: torch.dtype):
        if tensor is None:
            return None
        self.tensors.append(nn.Parameter(tensor.to(dtype), requires_grad=False))
        return self.tensors[-1]

    def replacements(self, unet: nn.Module, people: Sequence[int]) -> Iterator:
        """(layer, forward) with people `[B]`: person index of each batch row; -1: none."""
        for name, differences in self.layers.items():
            layer = unet.get_submodule(name)
            yield layer, _by_person(layer, differences, people)


def _by_person(layer: nn.Module, differences: Mapping, people: Sequence[int]) -> Callable:
    """The forward with each person's difference added to their rows. Every layer here is linear in
    its weight and bias, so whatever else changes the layer stays."""
    original = layer.forward
    rows = {who: [i for i, p in enumerate(people) if p == who] for who in differences}

    def forward(x: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        y = original(x, *args, **kwargs)
        for who, index in rows.items():
            if index:
                weight, bias = (t if t is None else t.to(x) for t in differences[who])
                y[index] += _change(layer, x[index], weight, bias)
        return y

    return forward


def _change(layer: nn.Module, x: torch.Tensor, weight, bias) -> torch.Tensor:
    """What the layer makes of x by these differences of its weight and bias alone."""
    if weight is None:
        weight = torch.zeros_like(layer.weight, device=x.device, dtype=x.dtype)  # type: ignore[arg-type]
    if isinstance(layer, nn.Linear):
        return F.linear(x, weight, bias)
    if isinstance(layer, nn.Conv2d):
        return layer._conv_forward(x, weight, bias)  # as it pads, see layers.py
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(x, layer.num_groups, weight, bias, layer.eps)
    if isinstance(layer, nn.LayerNorm):
        return F.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
    raise TypeError(f"a LoRA for a {type(layer).__name__} layer is not supported")
