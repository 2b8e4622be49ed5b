"""A counter hash: the noise at a lattice point is a pure function of (seed, frame, layer, y, x).

Nothing is drawn from a generator, so the noise is the same on every device, in every tile and in
every split of a batch. torch.randn cannot give that: its streams differ between devices and with
the shape.
"""

import torch

_MASK64 = (1 << 64) - 1
# lowbias32, a 32-bit integer hash found by search (C. Wellons, "Prospecting for Hash Functions",
# public domain). torch's int32 multiplication wraps modulo 2**32, which is all the hash asks of it.
_ROUNDS = ((16, 0x7FEB352D), (15, 0x846CA68B - (1 << 32)))
_LAST_SHIFT = 16


def _xor_shift_(x: torch.Tensor, bits: int, scratch: torch.Tensor) -> None:
    torch.bitwise_right_shift(x, bits, out=scratch)
    # int32 shifts copy the sign bit in; the hash is unsigned.
    scratch.bitwise_and_((1 << (32 - bits)) - 1)
    x.bitwise_xor_(scratch)


def mix32_(x: torch.Tensor) -> torch.Tensor:
    """lowbias32 of every element of the int32 tensor `x`, in place."""
    scratch = torch.empty_like(x)
    for bits, factor in _ROUNDS:
        _xor_shift_(x, bits, scratch)
        x.mul_(factor)
    _xor_shift_(x, _LAST_SHIFT, scratch)
    return x


def mix64(x: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014) on a Python integer."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK64
    return x ^ (x >> 31)


def _signed32(x: int) -> int:
    return (x & 0xFFFFFFFF) - ((x & 0x80000000) << 1)


def noise_bytes(
    seed: int, frame: int, layers: int, rows: range, columns: range, device: torch.device
) -> torch.Tensor:
    """Uniform noise, int8 -128..127, `[layers, len(rows), len(columns)]`; indices may be negative.

    One 32-bit hash serves four neighbouring columns, a byte each.
    """
    keys = [
        mix64(mix64(mix64(seed & _MASK64) ^ (frame & _MASK64)) ^ layer) for layer in range(layers)
    ]
    row_key = torch.tensor([_signed32(k) for k in keys], dtype=torch.int32, device=device)
    column_key = torch.tensor([_signed32(k >> 32) for k in keys], dtype=torch.int32, device=device)
    first, last = columns.start // 4, -(-columns.stop // 4)
    y = torch.arange(rows.start, rows.stop, dtype=torch.int32, device=device)
    x = torch.arange(first, last, dtype=torch.int32, device=device)
    # Rows and columns are hashed on their own first: a plain sum of the two would repeat along
    # diagonals.
    y = mix32_(row_key[:, None] ^ y).unsqueeze(2)
    x = mix32_(column_key[:, None] ^ x).unsqueeze(1)
    words = mix32_(y ^ x)
    start = columns.start - 4 * first
    return words.view(torch.int8)[..., start : start + len(columns)]
