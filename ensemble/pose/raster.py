"""Filled ellipses, discs and 2-pixel lines, pixel for pixel as OpenCV paints them, in numpy alone.

ControlNet's openpose maps were painted with OpenCV, and the maps users have are read back by their
exact pixels. OpenCV is optional here, so its integer rasterisers are restated: `ellipse2Poly`,
`fillConvexPoly`, `circle` and `line` of modules/imgproc/src/drawing.cpp (OpenCV 4 and 5 agree).
Everything is worked out for many shapes at once: painting order is kept by order of the pixels.
"""

from typing import NamedTuple

import numpy as np

_ONE = 1 << 16  # OpenCV's XY_ONE: 16 fractional bits
_HALF = _ONE >> 1
# drawing.cpp keeps sines with seven decimals in single precision; entry i: sin(i degrees), 0..450.
_SIN = np.round(np.sin(np.radians(np.arange(451))), 7).astype(np.float32).astype(np.float64)


class Pixels(NamedTuple):
    """Pixels to paint: rows and columns inside the canvas, and the index of their shape."""

    y: np.ndarray
    x: np.ndarray
    shape: np.ndarray

    @staticmethod
    def join(parts: "list[Pixels]") -> "Pixels":
        return Pixels(*map(np.concatenate, zip(*parts, strict=True)))


_NOTHING = Pixels(*(np.zeros(0, dtype=np.int64) for _ in range(3)))


def ellipse_polygons(centre: np.ndarray, axes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Corners `[L,361,2]` (x, y) of L whole ellipses, as `cv2.ellipse2Poly(..., 0, 360, 1)`.

    centre, axes `[L,2]` and angle `[L]` (degrees) are integers. Equal neighbours are left in.
    """
    degrees = np.arange(361)
    # OpenCV turns the angle into 0..360; 360 and 0 have the same sine and cosine.
    turned = np.mod(angle, 360)
    cos, sin = _SIN[450 - turned][:, None], _SIN[turned][:, None]
    # The table holds sines up to 450 degrees, so cos(i) = _SIN[450 - i] for i in 0..360.
    x = axes[:, :1] * _SIN[450 - degrees]
    y = axes[:, 1:] * _SIN[degrees]
    px = centre[:, :1] + x * cos - y * sin
    py = centre[:, 1:] + x * sin + y * cos
    return np.rint(np.stack([px, py], axis=-1)).astype(np.int64)


def fill_polygons(corners: np.ndarray, height: int, width: int) -> Pixels:
    """Pixels of L nearly convex polygons, corners `[L,K,2]` (x, y), as `cv2.fillConvexPoly`.

    OpenCV paints the outline as Bresenham lines and the inside row by row between two chains of
    edges that start at the topmost corner; both are needed, they do not cover each other.
    """
    following = np.roll(corners, -1, axis=1)
    shape = np.broadcast_to(np.arange(len(corners))[:, None], corners.shape[:2])
    outline = _lines(corners.reshape(-1, 2), following.reshape(-1, 2), shape.ravel(), height, width)
    return Pixels.join([outline, _insides(corners, height, width)])


def discs(centres: np.ndarray, radius: int, height: int, width: int) -> Pixels:
    """Pixels of filled discs round `[L,2]` (x, y) centres, as `cv2.circle(..., thickness=-1)`."""
    dy, dx = np.nonzero(disc(radius))
    shape = np.repeat(np.arange(len(centres)), len(dy))
    y = (centres[:, 1:] + dy - radius).ravel()
    x = (centres[:, :1] + dx - radius).ravel()
    return _clip(y, x, shape, height, width)


def disc(radius: int) -> np.ndarray:
    """Boolean stamp `[2r+1,2r+1]` of OpenCV's filled circle (midpoint algorithm of `Circle`)."""
    stamp = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=bool)
    err, dx, dy, plus, minus = 0, radius, 0, 1, 2 * radius - 1
    while dx >= dy:
        for row, half in ((dy, dx), (dx, dy)):
            stamp[[radius - row, radius + row], radius - half : radius + half + 1] = True
        dy, err, plus = dy + 1, err + plus, plus + 2
        if err > 0:
            err, dx, minus = err - minus, dx - 1, minus - 2
    return stamp


def thick_line(a: tuple[int, int], b: tuple[int, int], height: int, width: int) -> Pixels:
    """Pixels of `cv2.line(a, b, thickness=2)` between points (x, y): a bar with round ends."""
    pad = 2  # OpenCV first cuts the line to the canvas grown by its thickness
    corner = np.array([pad, pad])
    cut = _clip_line(np.array(a) + corner, np.array(b) + corner, width + 2 * pad, height + 2 * pad)
    if cut is None:
        return _NOTHING
    start, end = np.array(cut, dtype=np.int64) - corner
    ends = discs(np.array([start, end]), 1, height, width)
    parts = [Pixels(ends.y, ends.x, np.zeros_like(ends.shape))]
    dx, dy = float(start[0] - end[0]), float(end[1] - start[1])
    if dx or dy:
        reach = _ONE / np.sqrt(dx * dx + dy * dy)
        across = np.rint([dy * reach, dx * reach]).astype(np.int64)
        p, q = start * _ONE, end * _ONE
        corners = np.array([p + across, p - across, q - across, q + across])
        parts.insert(0, _insides(corners[np.newaxis], height, width, fixed=True))
        for i in range(4):
            parts.insert(0, _fixed_line(corners[i - 1], corners[i], height, width))
    return Pixels.join(parts)


def _clip(y: np.ndarray, x: np.ndarray, shape: np.ndarray, height: int, width: int) -> Pixels:
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return Pixels(y[inside], x[inside], shape[inside])


def _lines(a: np.ndarray, b: np.ndarray, shape: np.ndarray, height: int, width: int) -> Pixels:
    """Bresenham lines between integer points `[E,2]`, always walked from left to right (`Line`)."""
    keep = (a != b).any(axis=1)
    # A polygon that shrinks to one corner still paints that corner.
    lone = np.bincount(shape, keep, minlength=int(shape.max(initial=-1)) + 1)[shape] == 0
    a, b, shape = a[keep | lone], b[keep | lone], shape[keep | lone]
    limit = np.array([width, height])
    away = ((a < 0) & (b < 0)) | ((a >= limit) & (b >= limit))
    a, b, shape = (v[~away.any(axis=1)] for v in (a, b, shape))
    cut = ((a < 0) | (a >= limit) | (b < 0) | (b >= limit)).any(axis=1)
    if cut.any():
        a, b = a.copy(), b.copy()
        alive = np.logical_not(cut)
        for i in np.flatnonzero(cut):
            clipped = _clip_line(a[i], b[i], width, height)
            if clipped is not None:
                a[i], b[i] = clipped
                alive[i] = True
        a, b, shape = a[alive], b[alive], shape[alive]
    swap = b[:, 0] < a[:, 0]
    start = np.where(swap[:, None], b, a)
    delta = np.where(swap[:, None], a - b, b - a)
    size = np.abs(delta)
    steep = size[:, 1] > size[:, 0]
    major = size.max(axis=1)
    edge = np.repeat(np.arange(len(a)), major + 1)
    first = np.cumsum(major + 1) - (major + 1)
    step = np.arange(len(edge)) - first[edge]
    long, short = major[edge], size.min(axis=1)[edge]
    # Closed form of the error term: the minor axis moves when 2*short*n exceeds long*(2m+1).
    moved = np.maximum(-((long - 2 * short * step) // np.maximum(2 * long, 1)), 0)
    down = np.where(delta[:, 1] < 0, -1, 1)[edge]
    tall = steep[edge]
    x = start[edge, 0] + np.where(tall, moved, step)
    y = start[edge, 1] + down * np.where(tall, step, moved)
    return Pixels(y, x, shape[edge])


def _clip_line(
    a: np.ndarray, b: np.ndarray, width: int, height: int
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """OpenCV's `clipLine`: integer Cohen-Sutherland with its rounding towards zero."""
    x1, y1, x2, y2 = int(a[0]), int(a[1]), int(b[0]), int(b[1])
    right, bottom = width - 1, height - 1

    def side(x: int) -> int:
        return (x < 0) + 2 * (x > right)

    c1 = side(x1) + 4 * (y1 < 0) + 8 * (y1 > bottom)
    c2 = side(x2) + 4 * (y2 < 0) + 8 * (y2 > bottom)
    if c1 & c2:
        return None
    if c1 & 12:
        edge = 0 if c1 < 8 else bottom
        x1, y1 = x1 + int((edge - y1) * (x2 - x1) / (y2 - y1)), edge
        c1 = side(x1)
    if c2 & 12:
        edge = 0 if c2 < 8 else bottom
        x2, y2 = x2 + int((edge - y2) * (x2 - x1) / (y2 - y1)), edge
        c2 = side(x2)
    if c1 & c2:
        return None
    if c1:
        edge = 0 if c1 == 1 else right
        x1, y1 = edge, y1 + int((edge - x1) * (y2 - y1) / (x2 - x1))
    if c2:
        edge = 0 if c2 == 1 else right
        x2, y2 = edge, y2 + int((edge - x2) * (y2 - y1) / (x2 - x1))
    return (x1, y1), (x2, y2)


def _insides(corners: np.ndarray, height: int, width: int, fixed: bool = False) -> Pixels:
    """Row spans between the two edge chains of `FillConvexPoly`; `fixed`: corners with 16 bits."""
    count, k = corners.shape[:2]
    rows = (corners[..., 1] + _HALF) >> 16 if fixed else corners[..., 1]
    xs = corners[..., 0] if fixed else corners[..., 0] * _ONE
    top = np.argmin(corners[..., 1], axis=1)[:, None]
    walk = np.arange(k + 1)
    chains = np.stack([(top + walk) % k, (top - walk) % k], axis=1)  # [L,2,K+1]
    which = np.arange(count)[:, None, None]
    y, x = rows[which, chains], xs[which, chains]
    reached = np.maximum.accumulate(y, axis=-1)
    # An edge counts where its end lies below everything reached so far; flat or rising ones do not.
    poly, chain, i = np.nonzero(y[..., 1:] > reached[..., :-1])
    y0, y1 = reached[poly, chain, i], y[poly, chain, i + 1]
    x0, x1 = x[poly, chain, i], x[poly, chain, i + 1]
    tall = y1 - y0
    slope = _divide((x1 - x0) * 2 + tall, 2 * tall)
    # The bottom row belongs to the last edge of the chain, one step beyond its end.
    last = y1 == reached[poly, chain, -1]
    tall = tall + last
    edge = np.repeat(np.arange(len(poly)), tall)
    step = np.arange(len(edge)) - (np.cumsum(tall) - tall)[edge]
    where = x0[edge] + slope[edge] * step
    row, side, shape = y0[edge] + step, chain[edge], poly[edge]
    order = np.lexsort((row, shape, side))
    half = len(order) // 2  # both chains run from the same top to the same bottom row
    one, two = where[order[:half]], where[order[half:]]
    row, shape = row[order[:half]], shape[order[:half]]
    left = np.maximum((np.minimum(one, two) + _HALF) >> 16, 0)
    right = np.minimum((np.maximum(one, two) + _HALF) >> 16, width - 1)
    length = np.where((row >= 0) & (row < height), np.maximum(right - left + 1, 0), 0)
    span = np.repeat(np.arange(len(row)), length)
    column = np.arange(len(span)) - (np.cumsum(length) - length)[span] + left[span]
    return Pixels(row[span], column, shape[span])


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """C's integer division: towards zero."""
    return np.sign(a) * (np.abs(a) // b)


def _fixed_line(a: np.ndarray, b: np.ndarray, height: int, width: int) -> Pixels:
    """OpenCV's `Line2`: a one-pixel line between points with 16 fractional bits."""
    clipped = _clip_line(a, b, width * _ONE, height * _ONE)
    if clipped is None:
        return _NOTHING
    (x1, y1), (x2, y2) = clipped
    dx, dy = x2 - x1, y2 - y1
    flat = abs(dx) > abs(dy)
    if (dx if flat else dy) < 0:
        x1, y1, x2, y2, dx, dy = x2, y2, x1, y1, -dx, -dy
    steps = np.arange(((x2 - x1 if flat else y2 - y1) >> 16) + 1)
    slope = int((dy if flat else dx) * _ONE / ((dx if flat else dy) | 1))
    x, y = x1 + _HALF, y1 + _HALF
    if flat:
        x, y = (x >> 16) + steps, (y + slope * steps) >> 16
    else:
        x, y = (x + slope * steps) >> 16, (y >> 16) + steps
    x = np.append(x, (x2 + _HALF) >> 16)
    y = np.append(y, (y2 + _HALF) >> 16)
    return _clip(y, x, np.zeros_like(x), height, width)
