"""Film grain: `out = u + strength * sqrt(V(u)) * G`.

V is the variance a pixel sees in the Boolean film model (`boolean.py`), G a unit-variance field
with the correlation of the grain, both in units of the film's frame. The picture's display values
are taken as the film's coverage, as the model's authors do. Every float step is one correctly
rounded addition or multiplication, never a fused one, so the result does not depend on tiles,
chunks or the batch.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from ..pictures import colours
from .boolean import DISC_VARIANCE, variance
from .hashing import noise_bytes
from .kernel import Kernel, make_kernel, spread
from .stocks import DEFAULT_STOCK, STOCKS, Stock

LEVELS = 4096
_TABLE = 2 * LEVELS  # a power of two, so that masking bits keeps any index inside
_KNOTS = 257  # V is smooth: a table of it may be read linearly
_LAYERS = 3
# Rows are worked on in chunks of about this many numbers: what fits a processor's second-level
# cache, and what keeps a graphics card busy.
_CHUNK_CPU, _CHUNK_GPU = 1 << 18, 1 << 24


@dataclass(frozen=True, kw_only=True)
class GrainSettings:
    stock: Stock = STOCKS[DEFAULT_STOCK]
    # Factor on the stock's amplitude.
    strength: float = 1.0
    # Factor on its scale.
    size: float = 1.0
    # Factor on its colour.
    chroma: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class _Plan:
    """What is the same for every chunk of a run."""

    kernel: Kernel
    # A layer's weight of its own field, and of the sum of all three; the mix keeps the energy.
    own: float
    shared: float
    # strength * sqrt(V) per layer, `[3, 8192]`, indexed by u * 4096.
    response: torch.Tensor


def mix_weights(chroma: float) -> tuple[float, float]:
    """`own`, `shared` so that `own*F_c + shared*(F_r+F_g+F_b)` has unit variance for independent
    unit F.

    The layers' correlation is that of one common and one own field mixed `1 - chroma` to `chroma`;
    the weights are the symmetric root of that correlation matrix (eigenvalues 1-c, 1-c, 1+2c).
    """
    common, own = (1.0 - chroma) ** 2, chroma**2
    c = common / (common + own)
    root = math.sqrt(1.0 - c)
    return root, (math.sqrt(1.0 + 2.0 * c) - root) / 3.0


def pixel_scale(settings: GrainSettings, long_edge: int) -> tuple[float, float]:
    """Radius and blur of the grain in pixels of a picture whose long edge is `long_edge` px."""
    pixels_per_um = settings.size * long_edge / (1000.0 * settings.stock.frame_mm)
    return settings.stock.radius_um * pixels_per_um, settings.stock.blur_um * pixels_per_um


def correlation_blur(radius: float, blur: float) -> float:
    """Sigma in px of the Gaussian that gives white noise the grain's correlation, before the
    pixel's box.
    """
    return math.sqrt(blur**2 + DISC_VARIANCE * radius**2)


def _plan(settings: GrainSettings, long_edge: int, device: torch.device) -> _Plan:
    radius, blur = pixel_scale(settings, long_edge)
    grey, knots = np.linspace(0.0, 1.0, LEVELS + 1), np.linspace(0.0, 1.0, _KNOTS)
    response = np.zeros((_LAYERS, _TABLE))
    for layer, factor in enumerate(settings.stock.layers):
        power = np.interp(grey, knots, variance(knots, radius * factor, blur))
        response[layer, : LEVELS + 1] = np.sqrt(np.clip(power, 0.0, None))
    own, shared = mix_weights(min(1.0, settings.stock.chroma * settings.chroma))
    kernel = make_kernel(correlation_blur(radius, blur))
    table = torch.from_numpy(response * settings.strength).to(torch.float32).to(device)
    return _Plan(kernel, own * kernel.gain, shared * kernel.gain, table)


def _filtered(
    plan: _Plan, seed: int, frame: int, rows: range, columns: range, device
) -> torch.Tensor:
    """The three layers' whole-number fields at the given pixels, float32 `[3, rows, columns]`."""
    p, reach = plan.kernel.pitch, plan.kernel.reach
    cells = [range(r.start // p, -(-r.stop // p)) for r in (rows, columns)]
    y, x = (range(c.start - reach, c.stop + reach) for c in cells)
    noise = noise_bytes(seed, frame, _LAYERS, y, x, device).to(torch.float32)
    noise.mul_(2.0).add_(1.0)  # odd numbers -255..255: mean exactly 0
    field = spread(noise, plan.kernel)
    top, left = rows.start - p * cells[0].start, columns.start - p * cells[1].start
    return field[:, top : top + len(rows), left : left + len(columns)]


def _mixed(field: torch.Tensor, plan: _Plan, channels: int) -> torch.Tensor:
    """Unit-variance grain `[channels, rows, columns]` from the three layers; one channel gets their
    mean.
    """
    total = field[0] + field[1]
    total.add_(field[2])
    if channels == 1:
        unit = plan.kernel.gain / math.sqrt(_LAYERS)
        return total.mul_(unit).unsqueeze(0)
    total.mul_(plan.shared)
    if plan.own == 0.0:
        return total.expand(channels, *total.shape).clone()
    return (field * plan.own).add_(total)


def _respond_(grain: torch.Tensor, colour: torch.Tensor, plan: _Plan) -> torch.Tensor:
    """`grain * response(colour)`, in place; `[C, rows, columns]` both."""
    # Adding 2**23 leaves the rounded level in the low bits of the float. Far faster than a
    # conversion, and a NaN gives some index inside the table: NaN plus anything is NaN again, and
    # stays where it was.
    level = colour.clamp(0.0, 1.0).mul_(LEVELS).add_(float(1 << 23)).view(torch.int32)
    level.bitwise_and_(_TABLE - 1)
    for layer in range(grain.shape[0]):
        gain = plan.response[layer].index_select(0, level[layer].reshape(-1))
        grain[layer].mul_(gain.view_as(grain[layer]))
    return grain


def _clamped_(out: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Keep 0..1; a value that came in from outside (HDR) has no grain and keeps its own value."""
    low, high = torch.aminmax(colour)
    if low >= 0.0 and high <= 1.0:
        return out.clamp_(0.0, 1.0)
    return torch.minimum(torch.maximum(out, colour.clamp(max=0.0)), colour.clamp(min=1.0))


def _row_chunks(height: int, width: int, device: torch.device) -> Iterator[range]:
    budget = _CHUNK_CPU if device.type == "cpu" else _CHUNK_GPU
    step = max(1, budget // (_LAYERS * width))
    for top in range(0, height, step):
        yield range(top, min(height, top + step))


def film_grain(
    image: torch.Tensor,
    settings: GrainSettings,
    frame_offset: int = 0,
    device: torch.device | None = None,
    *,
    origin: tuple[int, int] = (0, 0),
    frame_size: tuple[int, int] | None = None,
    clamp: bool = True,
) -> torch.Tensor:
    """Add grain to an IMAGE `[B,H,W,C]`, C = 1 grey, 2 grey + alpha, 3 colour, 4 colour + alpha.

    Picture i of the batch is frame `frame_offset + i`, so a film cut into batches joins up. A tile
    is the picture at `origin` (y, x) of a frame of `frame_size` (height, width) and gets that part
    of its grain. Frames pass through `device` one chunk of rows at a time; the result has the
    image's dtype and device.
    """
    if settings.strength == 0.0 or image.numel() == 0:
        return image
    device = device or image.device
    height, width, channels = image.shape[1:]
    layers = colours(channels)
    plan = _plan(settings, max(frame_size or (height, width)), device)
    top, left = origin
    columns = range(left, left + width)
    out = torch.empty_like(image, memory_format=torch.contiguous_format)
    out[..., layers:].copy_(image[..., layers:])
    for index, (frame, result) in enumerate(zip(image, out, strict=True), frame_offset):
        for rows in _row_chunks(height, width, device):
            part = slice(rows.start, rows.stop)
            colour = frame[part, :, :layers].to(device, torch.float32).permute(2, 0, 1).contiguous()
            y = range(top + rows.start, top + rows.stop)
            grain = _filtered(plan, settings.seed, index, y, columns, device)
            grain = _respond_(_mixed(grain, plan, layers), colour, plan).add_(colour)
            if clamp:
                grain = _clamped_(grain, colour)
            result[part, :, :layers].copy_(grain.permute(1, 2, 0))
    return out
