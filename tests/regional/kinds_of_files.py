"""A LoRA file of every kind that core reads, for any model: what oracles are run with."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch

Parts = dict[str, torch.Tensor]


class Drawn:
    """Random numbers for one weight `[out, in, ...]`."""

    def __init__(self, weight: torch.Tensor, generator: torch.Generator):
        self.weight, self.generator = weight, generator
        self.rows, self.inputs, self.kernel = weight.shape[0], weight.shape[1:2], weight.shape[2:]
        self.columns = weight[0].numel()
        self.scale = 1 / math.sqrt(self.columns)
        self.ones = (1,) * len(self.kernel)

    def normal(self, *shape: int, size: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator) * size


def lora(d: Drawn) -> Parts:
    return {
        "lora_down.weight": d.normal(3, *d.weight.shape[1:], size=d.scale),
        "lora_up.weight": d.normal(d.rows, 3, *d.ones),
    }


def tucker(d: Drawn) -> Parts:
    return {
        "lora_down.weight": d.normal(3, *d.inputs, *d.ones, size=d.scale),
        "lora_mid.weight": d.normal(3, 3, *d.kernel, size=0.5),
        "lora_up.weight": d.normal(d.rows, 3, *d.ones),
    }


def reshape(d: Drawn) -> Parts:
    return {**lora(d), "reshape_weight": torch.tensor(d.weight.shape)}


def wide(d: Drawn) -> Parts:
    """Of a rank beyond the weight's own."""
    return {
        "lora_down.weight": d.normal(1024, *d.weight.shape[1:], size=d.scale / 16),
        "lora_up.weight": d.normal(d.rows, 1024, *d.ones),
        "alpha": torch.tensor(512.0),
    }


def loha(d: Drawn, rank: int = 3) -> Parts:
    out = {"alpha": torch.tensor(2.0)}
    for part in ("w1", "w2"):
        out[f"hada_{part}_a"] = d.normal(d.rows, rank)
        out[f"hada_{part}_b"] = d.normal(rank, d.columns, size=math.sqrt(d.scale / rank))
    return out


def loha_tucker(d: Drawn) -> Parts:
    out = {}
    for part in ("1", "2"):
        out[f"hada_w{part}_a"] = d.normal(3, d.rows)
        out[f"hada_w{part}_b"] = d.normal(3, *d.inputs, size=math.sqrt(d.scale))
        out[f"hada_t{part}"] = d.normal(3, 3, *d.kernel, size=0.5)
    return out


def lokr(d: Drawn) -> Parts:
    """Both sides whole, of full rank; alpha does nothing then."""
    right = d.normal(d.rows // 4, d.weight.shape[1] // 2, *d.kernel, size=d.scale)
    return {"lokr_w1": d.normal(4, 2), "lokr_w2": right, "alpha": torch.tensor(3.0)}


def lokr_low(d: Drawn) -> Parts:
    return {
        "lokr_w1_a": d.normal(4, 2), "lokr_w1_b": d.normal(2, 2),
        "lokr_w2_a": d.normal(d.rows // 4, 3),
        "lokr_w2_b": d.normal(3, d.columns // 2, size=d.scale), "alpha": torch.tensor(2.0),
    }  # fmt: skip


def lokr_tucker(d: Drawn) -> Parts:
    return {
        "lokr_w1": d.normal(4, 2), "lokr_t2": d.normal(3, 3, *d.kernel, size=0.5),
        "lokr_w2_a": d.normal(3, d.rows // 4),
        "lokr_w2_b": d.normal(3, d.weight.shape[1] // 2, size=d.scale),
    }  # fmt: skip


def glora(d: Drawn) -> Parts:
    width = d.weight.shape[1]
    return {
        "a1.weight": d.normal(width, 3, size=0.3), "a2.weight": d.normal(3, width, size=0.3),
        "b1.weight": d.normal(d.rows, 3),
        "b2.weight": d.normal(3, d.columns, size=d.scale), "alpha": torch.tensor(2.0),
    }  # fmt: skip


def glora_old(d: Drawn) -> Parts:
    return {
        "a1.weight": d.normal(3, d.columns, size=0.1), "a2.weight": d.normal(d.columns, 3, size=0.1),
        "b1.weight": d.normal(3, d.columns, size=d.scale), "b2.weight": d.normal(d.rows, 3),
    }  # fmt: skip


def oft(d: Drawn) -> Parts:
    return {"oft_blocks": d.normal(d.rows // 4, 4, 4, size=0.3), "alpha": torch.tensor(2.0)}


def boft(d: Drawn) -> Parts:
    return {
        "oft_blocks": d.normal(2, d.rows // 4, 4, 4, size=0.3), "alpha": torch.tensor(30.0),
        "rescale": 1 + d.normal(d.rows, 1, *d.ones, size=0.1),
    }  # fmt: skip


def diff(d: Drawn) -> Parts:
    return {"diff": d.normal(*d.weight.shape, size=d.scale)}


def bias(d: Drawn) -> Parts:
    return {"diff_b": d.normal(d.rows, size=0.1)}


def whole(d: Drawn) -> Parts:
    return {"set_weight": d.weight + d.normal(*d.weight.shape, size=d.scale / 2)}


def _dora(parts: Parts, d: Drawn, axis: int) -> Parts:
    shape = [1, 1, *d.ones]
    shape[axis] = d.weight.shape[axis]
    norm = d.weight.norm() / math.sqrt(d.weight.shape[axis])
    return {**parts, "dora_scale": norm * (1 + d.normal(*shape, size=0.3))}


KINDS: dict[str, Callable[[Drawn], Parts]] = {
    "lora": lora, "tucker": tucker, "reshape": reshape, "rank 1024": wide,
    "loha": loha, "loha rank 32": lambda d: loha(d, 32), "loha tucker": loha_tucker,
    "lokr": lokr, "lokr low": lokr_low, "lokr tucker": lokr_tucker,
    "glora": glora, "glora old": glora_old, "oft": oft, "boft": boft,
    "diff": diff, "bias": bias, "set": whole,
    **{
        f"{name} dora {side}": lambda d, make=make, axis=axis: _dora(make(d), d, axis)
        for name, make in (("lora", lora), ("lokr", lokr), ("loha", loha), ("glora", glora))
        for axis, side in enumerate(("out", "in"))
    },
}  # fmt: skip
CONVOLUTIONS_ONLY = ("tucker", "loha tucker", "lokr tucker")


def for_core(tensors: Parts) -> Parts:
    """The same file as core's merging can read it: `torch.kron` cannot view what its own einsum makes
    of a Tucker LoKr, so that its right side is given whole, by core's formula."""
    out = {}
    for key, tensor in tensors.items():
        name, _, part = key.rpartition(".")
        if part == "lokr_t2":
            a, b = (tensors[f"{name}.lokr_w2_{side}"] for side in "ab")
            out[f"{name}.lokr_w2"] = torch.einsum("ijkl,jr,ip->prkl", tensor, b, a).contiguous()
        elif part not in ("lokr_w2_a", "lokr_w2_b") or f"{name}.lokr_t2" not in tensors:
            out[key] = tensor
    return out


def file_of(patcher, kind: str, layers: str, seed: int = 4) -> Parts:
    """A file of that kind for the layers whose parameters' names match, in the generic key form."""
    generator = torch.Generator().manual_seed(seed)
    out = {}
    for name, weight in patcher.model.diffusion_model.named_parameters():
        if re.search(layers, name):
            drawn = Drawn(weight.detach().float(), generator)
            for part, tensor in KINDS[kind](drawn).items():
                out[f"diffusion_model.{name.removesuffix('.weight')}.{part}"] = tensor
    return out
