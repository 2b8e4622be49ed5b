"""Colour arithmetic on planes: `colour` is float32 `[3, N]`, red, green, blue, sRGB primaries."""

import torch

LUMINANCE = (0.2126, 0.7152, 0.0722)  # Rec. 709, of linear light

# sRGB to XYZ (IEC 61966-2-1) and the cone responses of the Bradford adaptation (Lam 1985;
# ICC.1:2022).
_RGB_TO_XYZ = (
    (0.4124, 0.3576, 0.1805),
    (0.2126, 0.7152, 0.0722),
    (0.0193, 0.1192, 0.9505),
)
_BRADFORD = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)

# One step of the temperature slider in mired, so that +-100 stays on the CIE's daylight locus.
_MIRED_PER_STEP = 0.95
_D65_KELVIN = 6504.0  # of sRGB's white
_TINT_PER_STEP = 3e-4  # distance from the locus in CIE 1960 uv


def to_linear(colour: torch.Tensor) -> torch.Tensor:
    """sRGB display values to linear light; odd about 0, so values outside 0..1 survive, which
    kornia's rgb_to_linear_rgb does not care for."""
    size = colour.abs()
    curve = ((size + 0.055) / 1.055).pow_(2.4)
    return torch.where(size <= 0.04045, size / 12.92, curve).copysign_(colour)


def to_display(light: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_linear`."""
    size = light.abs()
    curve = size.pow(1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(size <= 0.0031308, size * 12.92, curve).copysign_(light)


def luminance(light: torch.Tensor) -> torch.Tensor:
    """`[3, N]` -> `[N]`."""
    r, g, b = LUMINANCE
    return light[0] * r + light[1] * g + light[2] * b


def daylight(kelvin: float) -> tuple[float, float]:
    """Chromaticity of CIE daylight, 4000..25000 K (CIE 015:2018, 4.1.2)."""
    k = 1000.0 / kelvin
    if kelvin <= 7000.0:
        x = 0.244063 + 0.09911 * k + 2.9678 * k**2 - 4.6070 * k**3
    else:
        x = 0.237040 + 0.24748 * k + 1.9018 * k**2 - 2.0064 * k**3
    return x, -3.0 * x * x + 2.870 * x - 0.275


def white_point(temperature: float, tint: float) -> tuple[float, float]:
    """Chromaticity that neutral grey moves to. +-100 each: warm is about 4000 K, plus is magenta."""
    mired = 1e6 / _D65_KELVIN + _MIRED_PER_STEP * temperature
    u, v = _uv(*daylight(1e6 / mired))
    warmer_u, warmer_v = _uv(*daylight(1e6 / (mired + 0.5)))
    du, dv = warmer_u - u, warmer_v - v
    away = tint * _TINT_PER_STEP / (du * du + dv * dv) ** 0.5  # at a right angle to the locus
    u, v = u + away * dv, v - away * du
    return 3 * u / (2 * u - 8 * v + 4), 2 * v / (2 * u - 8 * v + 4)


def _uv(x: float, y: float) -> tuple[float, float]:
    """CIE 1960 UCS coordinates."""
    return 4 * x / (-2 * x + 12 * y + 3), 6 * y / (-2 * x + 12 * y + 3)


def adaptation(source: tuple[float, float], target: tuple[float, float]) -> torch.Tensor:
    """Bradford matrix on linear sRGB, float64 `[3,3]`: a `source` white becomes a `target` white."""
    cone = torch.tensor(_BRADFORD, dtype=torch.float64)
    to_xyz = torch.tensor(_RGB_TO_XYZ, dtype=torch.float64)
    white = [
        cone @ torch.tensor((x / y, 1.0, (1 - x - y) / y), dtype=torch.float64)
        for x, y in (source, target)
    ]
    in_xyz = torch.linalg.inv(cone) @ torch.diag(white[1] / white[0]) @ cone
    return torch.linalg.inv(to_xyz) @ in_xyz @ to_xyz


def saturate(light: torch.Tensor, saturation: float, vibrance: float) -> torch.Tensor:
    """Move colours from (or to) the grey of their own luminance. `saturation` 1 and `vibrance` 0 do
    nothing.

    Vibrance acts in proportion to what a colour lacks in purity, and half as much on skin (orange
    to red), so faces do not turn red.
    """
    grey = luminance(light)
    factor = torch.full_like(grey, saturation)
    if vibrance:
        high, low = light.amax(0), light.amin(0)
        spread = (high - low).clamp_(min=0.0)
        purity = (spread / high.clamp(min=1e-6)).clamp_(0.0, 1.0)
        # Where red leads and green lies between red and blue, hue is 0..60 degrees; skin is near
        # 25.
        hue = (light[1] - light[2]) / spread.clamp(min=1e-6)
        warm = (1.0 - (hue - 0.45).abs() * 2.0).clamp_(0.0, 1.0) * (light[0] >= high)
        factor = factor * (1.0 + vibrance * (1.0 - purity) * (1.0 - 0.5 * warm))
    return torch.lerp(grey.expand_as(light), light, factor)


def contrast(display: torch.Tensor, amount: float, pivot: float) -> torch.Tensor:
    """An S of slope `amount` at `pivot` that keeps 0 and 1; values outside 0..1 keep theirs."""
    inside = display.clamp(0.0, 1.0)
    dark = pivot * (inside / pivot).pow(amount)
    light = 1.0 - (1.0 - pivot) * ((1.0 - inside) / (1.0 - pivot)).pow(amount)
    return torch.where(inside < pivot, dark, light).add_(display - inside)
