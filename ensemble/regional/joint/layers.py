"""A DiT layer's forward with everybody's adapters added: two skinny products, whatever the number
of people, and a gate for every token."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..families.family import Stream
from ..families.transformer import Rule
from ..stack import LayerStack
from .tokens import TokenMap


class PerToken:
    """What a modulation layer returns when every token has its own vector: `[B,T,C]`.

    Some models split the vector by `.chunk(n, dim=1)` or `torch.chunk(v, n, dim=-1)` of `[B,C]`
    and make room for tokens by `.unsqueeze(1)` afterwards. Both are done here, on the channels, and
    after them the value is a plain tensor that broadcasts.
    """

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is not torch.chunk:
            return NotImplemented
        return args[0].chunk(*args[1:], **(kwargs or {}))

    def chunk(self, chunks: int, dim: int = -1) -> tuple[PerToken, ...]:
        return tuple(PerToken(part) for part in self.tensor.chunk(chunks, -1))

    def unsqueeze(self, dim: int) -> torch.Tensor:
        return self.tensor


def with_stream_adapters(
    layer: nn.Module, stack: LayerStack, rule: Rule, tokens: TokenMap
) -> Callable:
    """A replacement for `layer.forward` that adds `up (gate * (down x))` to what it returns."""
    original = layer.forward
    add = _add_to_vector if rule.stream is Stream.VECTOR else _add_to_tokens
    add = _add_to_places if isinstance(layer, nn.Conv2d) else add

    def forward(x: torch.Tensor, *args, **kwargs):
        return add(layer, stack, rule, tokens, x, original(x, *args, **kwargs))

    return forward


def _add_to_tokens(layer, stack: LayerStack, rule: Rule, tokens: TokenMap, x, y) -> torch.Tensor:
    """x `[B,T,in]`, y `[B,T,out]`, changed in place; or `[B,frames,rows,columns,in]`. TEXT_ROWS: see
    `_shaped`."""
    if x.ndim == 5:
        flat = _add_to_tokens(layer, stack, rule, tokens, x.flatten(1, 3), y.flatten(1, 3))
        return flat.view_as(y)
    plain = y
    if stack.gain is not None or stack.bias is not None:
        people = _shaped(tokens.gate(rule.stream, _everyone(stack), x), rule, x)
        y = stack.with_gain_and_bias(layer, y, lambda table: people @ table)
    if stack.forms:
        gate = _shaped(tokens.gate(rule.stream, stack.form_owners, x), rule, x)
        y = stack.with_forms(layer, x, plain, y, gate)
    if stack.owners:
        z = F.linear(x, stack.down.to(x))
        z *= _shaped(tokens.gate(rule.stream, stack.owners, x), rule, x)
        y.view(-1, y.shape[-1]).addmm_(z.view(-1, z.shape[-1]), stack.up.to(x))
    return y


def _add_to_places(layer, stack: LayerStack, rule: Rule, tokens: TokenMap, x, y) -> torch.Tensor:
    """x `[B,in,H,W]`, y `[B,out,rows,columns]`: a convolution that makes the picture's tokens."""
    plain = y
    if stack.gain is not None or stack.bias is not None:
        people = tokens.gate(rule.stream, _everyone(stack), x)
        flat = y.flatten(2).transpose(1, 2)
        flat = stack.with_gain_and_bias(layer, flat, lambda table: people @ table)
        y = flat.transpose(1, 2).reshape(y.shape)
    if stack.forms:
        gate = tokens.gate(rule.stream, stack.form_owners, x).T.reshape(-1, *y.shape[2:])
        y = stack.with_forms(layer, x, plain, y, gate, -3)
    if stack.owners:
        z = layer._conv_forward(x, stack.down.to(x), None)
        z = z * tokens.gate(rule.stream, stack.owners, x).T.reshape(-1, *z.shape[2:])
        y = y + F.conv2d(z, stack.up.to(x).T[:, :, None, None])
    return y


def _shaped(gate: torch.Tensor, rule: Rule, x: torch.Tensor) -> torch.Tensor:
    """A gate `[T,R]` so that it multiplies what `down` makes of x.

    IMAGE layers before the model's own padding get fewer tokens. TEXT_ROWS layers get `[B*S,n,C]`,
    or `[B,S,C,n]` where they work across the n layers of the encoder.
    """
    if rule.stream is not Stream.TEXT_ROWS:
        return gate[: x.shape[1]]
    if x.ndim == 4:
        return gate[:, None]
    return gate.repeat(x.shape[0] // gate.shape[0], 1)[:, None]


def _add_to_vector(layer, stack: LayerStack, rule: Rule, tokens: TokenMap, x, y):
    """x `[B,in]`, `[B,1,in]` or `[B,T,in]`. Where the vector reaches tokens, each gets the vector that its own
    people's adapters give: `[B,T,out]`, as PerToken where the model expects `[B,out]`."""
    if rule.reach is None:
        return _add_share(layer, stack, tokens, x, y)
    if x.ndim == 3 and x.shape[1] > 1:  # each token has its own vector already
        return _add_to_tokens(layer, stack, rule._replace(stream=rule.reach), tokens, x, y)
    flat = y.ndim == 2
    x, y = (x[:, None], y[:, None]) if flat else (x, y)
    out = y
    if stack.gain is not None or stack.bias is not None:
        people = tokens.gate(rule.reach, _everyone(stack), x)
        out = stack.with_gain_and_bias(layer, y, lambda table: people @ table)
    if stack.forms:
        out = stack.with_forms(layer, x, y, out, tokens.gate(rule.reach, stack.form_owners, x))
    if stack.owners:
        gate = tokens.gate(rule.reach, stack.owners, x)
        ups = F.linear(x, stack.down.to(x)).transpose(1, 2) * stack.up.to(x)  # [B,R,out]
        out = out.expand(-1, len(gate), -1)
        out = torch.baddbmm(out, gate.expand(len(ups), -1, -1), ups)
    return PerToken(out) if flat else out


def _add_share(layer, stack: LayerStack, tokens: TokenMap, x, y) -> torch.Tensor:
    """A vector without a place gets everybody's change, in their share of the picture."""
    plain = y
    if stack.gain is not None or stack.bias is not None:
        people = tokens.mean(_everyone(stack), x)
        y = stack.with_gain_and_bias(layer, y, lambda table: people @ table)
    if stack.forms:
        y = stack.with_forms(layer, x, plain, y, tokens.mean(stack.form_owners, x))
    if stack.owners:
        z = F.linear(x, stack.down.to(x)) * tokens.mean(stack.owners, x)
        y = y + z @ stack.up.to(x)
    return y


def _everyone(stack: LayerStack) -> tuple[int, ...]:
    return tuple(range(stack.people))
