"""Three film looks. The curves, bands and matrices are ours, drawn by eye on photographs of people.

They follow what is said of each film, not a measurement of it: no profile of a maker went into
them.
"""

from dataclasses import dataclass

import numpy as np
import torch

from .colour import luminance, to_display
from .cube import Cube, apply_cube

_CURVE_SIZE = 1025


@dataclass(frozen=True)
class Look:
    # Dyes mixing in linear light; rows sum to 1, so grey stays grey.
    matrix: tuple[tuple[float, float, float], ...]
    # Saturation of red, yellow, green, cyan, blue, magenta.
    bands: tuple[float, float, float, float, float, float]
    # Display values where the curves are given, and what becomes of them in each channel.
    at: tuple[float, ...]
    red: tuple[float, ...]
    green: tuple[float, ...]
    blue: tuple[float, ...]


LOOKS: dict[str, Look] = {
    # Slide film: deep greens, reds and blues, hard shadows, a trace of magenta in the middle.
    "Film Velvia": Look(
        matrix=((1.09, -0.06, -0.03), (-0.04, 1.10, -0.06), (-0.03, -0.08, 1.11)),
        bands=(1.03, 1.06, 1.24, 1.14, 1.16, 1.08),
        at=(0, 0.10, 0.25, 0.50, 0.75, 0.92, 1),
        red=(0, 0.060, 0.196, 0.502, 0.786, 0.940, 1),
        green=(0, 0.060, 0.192, 0.490, 0.782, 0.942, 1),
        blue=(0, 0.070, 0.206, 0.500, 0.786, 0.942, 1),
    ),
    # Portrait negative: open shadows, luminous peach skin, quiet greens and blues, creamy whites.
    "Film Portra": Look(
        matrix=((1.03, -0.01, -0.02), (0.015, 0.985, 0.0), (0.0, 0.035, 0.965)),
        bands=(1.02, 1.00, 0.80, 0.86, 0.90, 0.98),
        at=(0, 0.10, 0.25, 0.50, 0.75, 0.90, 1),
        red=(0.012, 0.104, 0.274, 0.572, 0.824, 0.938, 0.990),
        green=(0.014, 0.102, 0.264, 0.552, 0.806, 0.926, 0.984),
        blue=(0.024, 0.108, 0.260, 0.532, 0.780, 0.902, 0.968),
    ),
    # The most saturated negative: clean reds, cool shadows, cyan skies, crisp whites.
    "Ektar": Look(
        matrix=((1.08, -0.06, -0.02), (-0.02, 1.05, -0.03), (-0.02, -0.04, 1.06)),
        bands=(1.10, 0.96, 1.00, 1.14, 1.16, 1.06),
        at=(0, 0.10, 0.25, 0.50, 0.75, 0.92, 1),
        red=(0, 0.070, 0.222, 0.520, 0.790, 0.940, 0.996),
        green=(0, 0.080, 0.234, 0.516, 0.784, 0.940, 0.998),
        blue=(0.010, 0.098, 0.254, 0.524, 0.780, 0.936, 0.996),
    ),
}


def curve_table(look: Look) -> Cube:
    """The look's curves as a 1D table: monotone cubics (Fritsch-Carlson) through the points."""
    from scipy.interpolate import PchipInterpolator

    at = np.linspace(0.0, 1.0, _CURVE_SIZE)
    curves = [PchipInterpolator(look.at, y)(at) for y in (look.red, look.green, look.blue)]
    return Cube(torch.from_numpy(np.stack(curves, -1)).to(torch.float32))


def _band_factor(display: torch.Tensor, bands: tuple[float, ...]) -> torch.Tensor:
    """Saturation by hue, linear between the six bands; `[3, N]` -> `[N]`."""
    r, g, b = display
    high, low = display.amax(0), display.amin(0)
    spread = (high - low).clamp_(min=1e-6)
    hue = torch.where(
        high == r,
        (g - b) / spread,
        torch.where(high == g, (b - r) / spread + 2.0, (r - g) / spread + 4.0),
    )
    hue = hue.nan_to_num_(nan=0.0).remainder_(6.0)
    band = hue.floor().clamp_(max=5.0)
    table = torch.tensor((*bands, bands[0]), dtype=display.dtype, device=display.device)
    index = band.to(torch.int64)
    return torch.lerp(table[index], table[index + 1], hue - band)


def apply_look(light: torch.Tensor, look: Look, curves: Cube) -> torch.Tensor:
    """Linear light `[3, N]` to display values under `look`; `curves` is its `curve_table`."""
    matrix = torch.tensor(look.matrix, dtype=light.dtype, device=light.device)
    display = to_display(matrix @ light)
    grey = luminance(display)
    display = torch.lerp(grey.expand_as(display), display, _band_factor(display, look.bands))
    outside = display - display.clamp(0.0, 1.0)
    return apply_cube(display, curves).add_(outside)
