"""A change that is a product of two matrices: the form that all people share, stacked."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Factors:
    """`delta W = up @ down`, plus what is not a product of weights.

    up `[out, r]`; down `[r, in]` or `[r, in, kh, kw]`; bias `[out]` is added to the layer's;
    gain `[out]` multiplies the layer's own product without its bias (DoRA).
    """

    up: torch.Tensor
    down: torch.Tensor
    gain: torch.Tensor | None = None
    bias: torch.Tensor | None = None

    @staticmethod
    def nothing(shape: torch.Size, bias: torch.Tensor | None = None) -> Factors:
        """No change of a weight `[out, in, ...]`, perhaps one of its bias."""
        return Factors(torch.zeros(shape[0], 0), torch.zeros(0, *shape[1:]), bias=bias)

    @property
    def rank(self) -> int:
        return self.up.shape[1]

    @property
    def wasteful(self) -> bool:
        """Whether the whole difference is smaller than the two factors."""
        rows, columns = self.up.shape[0], self.down.shape[1:].numel()
        return self.rank * (rows + columns) > rows * columns

    def then(self, other: Factors) -> Factors:
        """This change, and `other` of the layer as it is after this one.

        After `(1 + g) W + U D` a second gain h makes `(1 + h)(1 + g) W + (1 + h) U D + …`.
        """
        up = self.up if other.gain is None else self.up * (1.0 + other.gain)[:, None]
        gain = _sum(self.gain, other.gain)
        if self.gain is not None and other.gain is not None:
            gain = gain + self.gain * other.gain
        return Factors(
            torch.cat([up, other.up], 1), torch.cat([self.down, other.down]), gain,
            _sum(self.bias, other.bias),
        )  # fmt: skip

    def in_rows(self, start: int, total: int) -> Factors:
        """The same change for `total` output channels, of which it touches those from `start`."""

        def spread(rows: torch.Tensor | None):
            if rows is None:
                return None
            whole = rows.new_zeros(total, *rows.shape[1:])
            whole[start : start + rows.shape[0]] = rows
            return whole

        return Factors(spread(self.up), self.down, spread(self.gain), spread(self.bias))  # type: ignore[arg-type]


def _sum(a: torch.Tensor | None, b: torch.Tensor | None):
    return b if a is None else a if b is None else a + b
