"""Layers whose weight is a product of thin matrices: small files, and exact when multiplied out,
because nothing non-linear sits between the factors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_UP_GAIN = 0.7  # keeps the spread of what goes through a new layer below 1


class Low(nn.Module):
    """A linear layer or 1x1 convolution with weight b @ a, and room for a LoRA."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rank: int,
        bias: bool = True,
        conv: bool = False,
        zero: bool = False,
    ):
        super().__init__()
        tail = (1, 1) if conv else ()
        self.a = nn.Parameter(torch.randn(rank, n_in, *tail) / n_in**0.5)
        self.b = nn.Parameter(_up(n_out, rank, tail, zero))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        self.lora_a: nn.Parameter | None = None
        self.lora_b: nn.Parameter | None = None

    def add_lora(self, rank: int, generator: torch.Generator) -> None:
        """A LoRA that adds nothing yet; numbers from `generator`, which lives on the CPU."""
        shape = (rank, *self.a.shape[1:])
        down = torch.randn(shape, generator=generator) / self.a.shape[1] ** 0.5
        self.lora_a = nn.Parameter(down.to(self.a.device))
        up = torch.zeros(self.b.shape[0], rank, *self.b.shape[2:])
        self.lora_b = nn.Parameter(up.to(self.a.device))

    def lora(self) -> tuple[Tensor, Tensor]:
        """Both factors of the LoRA that was added."""
        assert self.lora_a is not None and self.lora_b is not None
        return self.lora_a, self.lora_b

    def remove_lora(self) -> None:
        self.lora_a = self.lora_b = None

    def forward(self, x: Tensor) -> Tensor:
        f = F.conv2d if self.a.ndim == 4 else F.linear
        y = f(f(x, self.a), self.b, self.bias)
        if self.lora_a is None or self.lora_b is None:
            return y
        return y + f(f(x, self.lora_a), self.lora_b)


class LowConv(nn.Module):
    """A 3x3 convolution: 1x1 down to `rank` channels, 3x3 among them, 1x1 up."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        rank: int,
        stride: int = 1,
        bias: bool = True,
        zero: bool = False,
    ):
        super().__init__()
        self.stride = stride
        self.a = nn.Parameter(torch.randn(rank, n_in, 1, 1) / n_in**0.5)
        self.c = nn.Parameter(torch.randn(rank, rank, 3, 3) / (9 * rank) ** 0.5)
        self.b = nn.Parameter(_up(n_out, rank, (1, 1), zero))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        core = F.conv2d(F.conv2d(x, self.a), self.c, stride=self.stride, padding=1)
        return F.conv2d(core, self.b, self.bias)


def _up(n_out: int, rank: int, tail: tuple[int, ...], zero: bool) -> Tensor:
    if zero:
        return torch.zeros(n_out, rank, *tail)
    return torch.randn(n_out, rank, *tail) * _UP_GAIN / rank**0.5


def multiply_out(factors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of factors (`.a`, `.b`, `.c`) -> one of weights, float32 on the CPU."""
    state = {key: value.detach().float().cpu() for key, value in factors.items()}
    weights: dict[str, Tensor] = {}
    for key, value in state.items():
        name, _, last = key.rpartition(".")
        if last == "a":
            down, up = value.flatten(1), state[f"{name}.b"].flatten(1)
            core = state.get(f"{name}.c")
            if core is None:
                weight = (up @ down).reshape(len(up), down.shape[1], *value.shape[2:])
            else:
                weight = torch.einsum("or,rsyx,si->oiyx", up, core, down)
            weights[f"{name}.weight"] = weight
        elif last not in ("b", "c"):
            weights[key] = value
    return weights
