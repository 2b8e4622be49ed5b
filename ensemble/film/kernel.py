"""Turns white noise on a lattice into noise of a given correlation, in exact arithmetic.

Noise and weights are whole numbers small enough that every sum stays below 2**24 and float32 holds
it exactly. So the order of summation cannot matter: any device, tile or chunk gives the same bits.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .boolean import pixel_correlation

WEIGHT_SUM = 255  # noise 255 x rows 255 x columns 255 = 16 581 375 < 2**24
NOISE_VARIANCE = (256**2 - 1) / 3  # of the odd numbers -255..255


@dataclass(frozen=True)
class Kernel:
    """One axis of a separable filter that makes `pitch` samples from every lattice point."""

    pitch: int
    # Lattice points to either side that a sample is made of.
    reach: int
    # `pitch` rows of 2*reach+1 whole numbers; row k makes sample k of a lattice cell.
    weights: tuple[tuple[int, ...], ...]
    # Makes the filtered noise (both axes) unit variance.
    gain: float


def _whole_numbers(weights: np.ndarray) -> np.ndarray:
    weights = np.rint(weights * (WEIGHT_SUM / np.abs(weights).sum(-1, keepdims=True)))
    # Rounding may push a sum of magnitudes past the limit; the largest weight can spare the
    # difference.
    for row in weights:
        row[np.abs(row).argmax()] -= max(0.0, np.abs(row).sum() - WEIGHT_SUM)
    return weights


def _fine(blur: float) -> np.ndarray:
    """Zero-phase kernel whose autocorrelation at whole pixels is exactly that of the pixel's
    aperture.
    """
    lags = np.fft.fftfreq(256, 1 / 256)
    power = np.fft.rfft(pixel_correlation(lags, blur)).real
    return np.fft.fftshift(np.fft.irfft(np.sqrt(np.clip(power, 0.0, None))))[128 - 16 : 128 + 17][
        None
    ]


def _coarse(blur: float, pitch: int) -> np.ndarray:
    """Gaussian read at `pitch` offsets. With sigma >= pitch its variance ripples by 1e-4 only
    (Poisson sum).
    """
    phase = np.arange(pitch) + 0.5 - 0.5 * pitch
    distance = phase[:, None] - pitch * np.arange(-16, 17)
    return np.exp(-0.5 * distance**2 / (blur**2 + 1 / 12))  # 1/12: the variance of the pixel's box


def make_kernel(blur: float) -> Kernel:
    """The filter for noise seen through a Gaussian of `blur` px and the box of a pixel; `blur` >=
    0.
    """
    pitch = max(1, math.floor(blur))
    weights = _whole_numbers(_fine(blur) if pitch == 1 else _coarse(blur, pitch))
    centre = weights.shape[1] // 2
    reach = int(np.abs(np.nonzero(weights)[1] - centre).max())
    weights = weights[:, centre - reach : centre + reach + 1]
    energy = float((weights**2).sum(1).mean())
    gain = 1.0 / (energy * math.sqrt(NOISE_VARIANCE))
    return Kernel(pitch, reach, tuple(tuple(int(w) for w in row) for row in weights), gain)


def _weighted_sum(parts: list[torch.Tensor], weights: tuple[int, ...], out: torch.Tensor) -> None:
    torch.mul(parts[0], weights[0], out=out)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        if weight:
            out.add_(part, alpha=weight)


def spread(noise: torch.Tensor, kernel: Kernel) -> torch.Tensor:
    """Filter float noise `[C, rows + 2*reach, columns + 2*reach]` to `[C, rows*pitch,
    columns*pitch]`.

    Columns first: only `1/pitch` of the rows exist yet, and the second pass then writes whole rows.
    """
    layers, tall, wide = noise.shape
    p, reach, taps = kernel.pitch, kernel.reach, 2 * kernel.reach + 1
    rows, columns = tall - 2 * reach, wide - 2 * reach
    if taps == 1 and p == 1:
        return noise.mul_(kernel.weights[0][0] ** 2)
    parts = [noise[:, :, t : t + columns] for t in range(taps)]
    across = noise.new_empty(layers, tall, columns, p)
    for k, weights in enumerate(kernel.weights):
        _weighted_sum(parts, weights, across[..., k])
    across = across.view(layers, tall, columns * p)
    parts = [across[:, t : t + rows] for t in range(taps)]
    out = noise.new_empty(layers, rows, p, columns * p)
    for k, weights in enumerate(kernel.weights):
        _weighted_sum(parts, weights, out[:, :, k])
    return out.view(layers, rows * p, columns * p)
