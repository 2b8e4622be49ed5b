"""A text encoder of CLIP-L's layout whose every number comes from a seed.

A token is 176 random numbers in slot 0 of 768; its position is a code of 32 frequencies in the last
64. Layer 0 has three groups of three heads; group d looks exactly d words back (the query turns the
position's code by d) and copies that word's numbers into slot d. Layers 1 to 11 add nothing. So
`hair` in `long red hair` carries `red` and `long`, and cross-attention has nothing to untangle.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..world.words import END, LENGTH, tokens
from .layers import Context

SHORT = 32
"""START, the 28 words that one person or place may need, and three times END."""

# All numbers, those of a slot, where the position's code begins.
_WIDTH, _PART, _CODE = 768, 176, 704
_LOGIT = 1.2  # makes about 18 for the wanted word and 0 for all others
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_FIRST = "encoder.layers.0.self_attn"


def text_state(seed: int = 77) -> dict[str, Tensor]:
    """The weights that are not zero, under transformers' names, as float16 can hold them."""
    # NumPy's legacy generator is frozen: the same numbers everywhere.
    numbers = np.random.RandomState(seed).standard_normal((END + 1, _PART))
    tokens = torch.from_numpy(numbers.astype(np.float32))
    tokens = F.normalize(tokens - tokens.mean(1, keepdim=True), dim=1) * _PART**0.5
    frequency = (torch.arange(32) + 0.5) * math.pi / 32
    angle = torch.arange(LENGTH)[:, None] * frequency
    code = torch.cat([angle.cos(), angle.sin()], 1)
    state = {
        "embeddings.token_embedding.weight": F.pad(tokens, (0, _WIDTH - _PART)),
        "embeddings.position_embedding.weight": F.pad(code, (_CODE, 0)),
    }
    for name, matrix in zip(_PROJECTIONS, _projections(frequency), strict=True):
        state[f"{_FIRST}.{name}.weight"] = matrix
    return {key: value.half().float() for key, value in state.items()}


def _projections(frequency: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value and output, `[768,768]` each."""
    gain = (_WIDTH / (_PART + 32)) ** 0.5  # what the layer norm before multiplies by
    q, k, v, out = (torch.zeros(_WIDTH, _WIDTH) for _ in range(4))
    code = torch.arange(32)
    for back in (1, 2, 3):
        cosine, sine = (frequency * back).cos() * _LOGIT, (frequency * back).sin() * _LOGIT
        for part in range(3):
            head = 64 * (3 * (back - 1) + part)
            q[head + code, _CODE + code], q[head + code, _CODE + 32 + code] = cosine, sine
            q[head + 32 + code, _CODE + 32 + code] = cosine
            q[head + 32 + code, _CODE + code] = -sine
            both = torch.arange(64)
            k[head + both, _CODE + both] = 1.0
            slot = torch.arange(part * 64, min(_PART, part * 64 + 64))
            v[head + slot - part * 64, slot] = 1.0
            out[back * _PART + slot, head + slot - part * 64] = 1.0 / gain
    return q, k, v, out


class TextEncoder(nn.Module):
    """`text_state` run as CLIP runs it, without the layers that add nothing."""

    def __init__(self) -> None:
        super().__init__()
        state = text_state()
        for name in _PROJECTIONS:
            self.register_buffer(name, state[f"{_FIRST}.{name}.weight"])
        self.register_buffer("token", state["embeddings.token_embedding.weight"])
        self.register_buffer("position", state["embeddings.position_embedding.weight"])

    @torch.no_grad()
    def forward(self, ids: Tensor) -> Tensor:
        """`[...,T]`, the first T of 77 -> `[...,T,768]`, CLIP's last hidden state."""
        # In bfloat16 the codes of neighbouring positions would begin to look alike.
        with torch.autocast(self.token.device.type, enabled=False):
            x = self.token[ids] + self.position[: ids.shape[-1]]
            n = F.layer_norm(x, (_WIDTH,))
            q, k, v = (
                (n @ weight.T).unflatten(-1, (12, 64)).transpose(-2, -3)
                for weight in (self.q_proj, self.k_proj, self.v_proj)
            )
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            y = y.transpose(-2, -3).flatten(-2)
            return F.layer_norm(x + y @ self.out_proj.T, (_WIDTH,))

    def context(self, ids: Tensor, regions: Tensor | None = None) -> Context:
        """ids `[B,R,77]`, texts of at most SHORT tokens wherever there are regions `[B,R,h,w]`.
        Behind such a text stand equal ENDs, each of which sees the three before it: what they say
        is the same for all and need not be made for each."""
        if regions is None:
            return Context(self(ids), self.position[:0], None)
        tail = self(torch.tensor(tokens(""), device=ids.device))[SHORT:]
        return Context(self(ids[..., :SHORT]), tail, regions)
