"""What a change of a layer adds to what the layer makes, where a product of two matrices is not the
cheap form of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ...core import is_linear

NORMALISED = "normalised_by_region"
"""A method that a GroupNorm has while its statistics are taken by region: x without weight and bias."""
_CHANGEABLE = (nn.Conv2d, nn.GroupNorm, nn.LayerNorm)


def changeable(layer: nn.Module) -> bool:
    """Whether `Whole` knows such a layer."""
    return is_linear(layer) or isinstance(layer, _CHANGEABLE)


def _frozen(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.contiguous(), requires_grad=False)


def _if_any(tensor: torch.Tensor | None) -> nn.Parameter | None:
    return None if tensor is None else _frozen(tensor)


class Form(nn.Module):
    """One person's change of one layer. A module of tensors, so that memory management counts them.

    `form(layer, x, y)`: what is added to y, which the layer itself makes of x. Channels are last, in
    pictures `[B,C,H,W]` second.
    """

    turns = False
    """Whether it changes what the layer makes, so that nothing may have been added to that before."""

    def forward(self, layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Kronecker(Form):
    """`scale * kron(left, right)` for left `[l,m]` and right `[k,n(,kh,kw)]`, which may be the product
    of up `[k,r]` and down `[r,n(,kh,kw)]`; scale `[l*k]` or None.

    `kron(A, B) vec(X) = vec(A X B^T)`, X `[m,n]`: two small products instead of one of `[l*k, m*n]`.
    """

    def __init__(self, left, right, down=None, scale=None):
        super().__init__()
        self.left, self.right = _frozen(left), _frozen(right)
        self.down, self.scale = _if_any(down), _if_any(scale)

    def forward(self, layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        left, right = self.left.to(x), self.right.to(x)
        down = None if self.down is None else self.down.to(x)
        if isinstance(layer, nn.Conv2d):
            out = _kron_convolution(layer, x, left, right, down)
            return out if self.scale is None else out * self.scale.to(x)[:, None, None]
        z = x.unflatten(-1, (left.shape[1], -1))
        if down is not None:
            z = F.linear(z, down)
            early = left.numel() * down.shape[0] <= left.shape[1] * right.numel()
        else:
            # The cheaper order; what is left out of both sums is the same.
            (below, beside), (rows, columns) = right.shape, left.shape
            early = rows * beside * (columns + below) <= columns * below * (beside + rows)
        z = F.linear(left @ z, right) if early else left @ F.linear(z, right)
        out = z.flatten(-2)
        return out if self.scale is None else out * self.scale.to(x)


def _kron_convolution(layer: nn.Conv2d, x, left, right, down) -> torch.Tensor:
    """x `[B,m*n,H,W]` -> `[B,l*k,h,w]`, padded as the layer pads."""
    groups = x.unflatten(1, (left.shape[1], -1)).flatten(0, 1)
    if down is None:
        z = layer._conv_forward(groups, right, None)
    else:
        z = F.conv2d(layer._conv_forward(groups, down, None), right[:, :, None, None])
    z = z.unflatten(0, (len(x), -1))
    return torch.einsum("lm,bmkhw->blkhw", left, z).flatten(1, 2)


class Rotation(Form):
    """`gain * (L y - y)` of what the layer makes without its bias; L turns channels in blocks.

    blocks `[stages,n,b,b]`: one stage of neighbours (OFT), or the stages of a butterfly, each of
    channels twice as far apart as the one before (BOFT); scale `[out]` follows them, or None.
    """

    turns = True

    def __init__(self, blocks, *, butterfly: bool, gain: float = 1.0, scale=None):
        super().__init__()
        self.blocks, self.scale = _frozen(blocks), _if_any(scale)
        self.butterfly, self.gain = butterfly, gain

    def forward(self, layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        channel = 1 if isinstance(layer, nn.Conv2d) else -1
        last = y.movedim(channel, -1)
        if layer.bias is not None:
            last = last - layer.bias.to(last)  # type: ignore[operator]
        return ((self._turned(last) - last) * self.gain).movedim(-1, channel)

    def _turned(self, y: torch.Tensor) -> torch.Tensor:
        """y `[...,out]`."""
        size = self.blocks.shape[-1]
        for stage, blocks in enumerate(self.blocks.to(y)):
            apart = 2**stage * (size // 2)
            if self.butterfly:  # LyCORIS' order of channels, as core has it
                y = y.unflatten(-1, (-1, 2, apart)).transpose(-2, -1).flatten(-3)
            y = torch.einsum("nij,...nj->...ni", blocks, y.unflatten(-1, (-1, size))).flatten(-2)
            if self.butterfly:
                y = y.unflatten(-1, (-1, apart, 2)).transpose(-2, -1).flatten(-3)
        return y if self.scale is None else y * self.scale.to(y)


class Whole(Form):
    """A whole difference of the layer's weight and bias; None for one that stays. Every layer that
    is `changeable` is linear in both, so whatever else changes the layer stays."""

    def __init__(self, weight: torch.Tensor | None, bias: torch.Tensor | None = None):
        super().__init__()
        self.weight, self.bias = _if_any(weight), _if_any(bias)

    def forward(self, layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        weight, bias = (None if t is None else t.to(x) for t in (self.weight, self.bias))
        if weight is None:
            weight = torch.zeros_like(layer.weight, device=x.device, dtype=x.dtype)  # type: ignore[arg-type]
        if is_linear(layer):
            return F.linear(x, weight, bias)
        if isinstance(layer, nn.Conv2d):
            return layer._conv_forward(x, weight, bias)  # as it pads, see layers.py
        if isinstance(layer, nn.GroupNorm):
            if NORMALISED in layer.__dict__:
                return with_parameters(layer.__dict__[NORMALISED](x), weight, bias)
            return F.group_norm(x, layer.num_groups, weight, bias, layer.eps)
        if isinstance(layer, nn.LayerNorm):
            return F.layer_norm(x, layer.normalized_shape, weight, bias, layer.eps)
        raise TypeError(f"a LoRA for a {type(layer).__name__} layer is not supported")


def with_parameters(
    normalised: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    """What a GroupNorm makes of `[B,C,H,W]` that is normalised."""
    if weight is not None:
        normalised = normalised * weight[:, None, None]
    return normalised if bias is None else normalised + bias[:, None, None]


class Slice(Form):
    """A form that does not look at y, for some of a linear layer's output channels: those from
    `start` of `total`."""

    def __init__(self, form: Form, start: int, total: int):
        super().__init__()
        self.form, self.start, self.total = form, start, total

    def forward(self, layer: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        part = self.form(layer, x, y)
        return F.pad(part, (self.start, self.total - self.start - part.shape[-1]))
