"""A drawn pose map -> the skeletons in it.

Joints are discs of 18 colours that no limb has; people are put together along the limbs, whose
ellipses have a colour per kind of limb. A joint counts as seen where at least 60 % of its disc, as
far as it lies in the picture, shows its colour; what is hidden stays missing.
"""

import numpy as np

from . import palette, raster
from .assemble import Candidate, assemble
from .palette import BLACK, Labels
from .skeleton import BODY_POINTS, Pose

_VISIBLE = 0.6
_MAX_RADIUS = 64


def recognise(image: np.ndarray) -> bool:
    """Whether an RGB uint8 picture `[H,W,3]` is a drawn skeleton rather than a photo."""
    return palette.looks_drawn(palette.label(image))


def read(image: np.ndarray) -> Pose:
    """The people of a pose map, RGB uint8 `[H,W,3]`, in pixels of that picture.

    Joints whose person cannot be told - no limb leads to them - come as people of their own with
    that one joint; nothing is guessed.
    """
    labels = palette.label(image)
    height, width = labels.map.shape
    radius, exact = _disc_radius(labels)
    if radius == 0:
        return Pose(width, height, ())
    labels = Labels(labels.map, exact)
    stamp = raster.disc(radius)
    found = [
        Candidate(joint, x, y, share)
        for joint in range(BODY_POINTS)
        for x, y, share in _discs_of(labels, joint, stamp)
    ]
    return Pose(width, height, tuple(assemble(found, labels, radius)))


def _components(mask: np.ndarray) -> list[tuple[slice, slice]]:
    from scipy import ndimage

    marked = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=np.ones((3, 3)), output=marked)
    return [box for box in ndimage.find_objects(marked) if box is not None]


def _disc_radius(labels: Labels) -> tuple[int, bool]:
    """Radius of the joints in pixels, 0 where there are none, and whether they are discs to the
    pixel: a map that was resized by whole pixels has pure colours and other discs."""
    whole: list[int] = []
    sizes: list[float] = []
    for joint in range(BODY_POINTS):
        mask = labels.map == joint
        if not mask.any():
            continue
        for rows, columns in _components(mask):
            spot = mask[rows, columns]
            h, w = spot.shape
            sizes.append(float(np.sqrt(spot.sum() / np.pi)))
            if h == w and h % 2 and h // 2 <= _MAX_RADIUS and (spot == raster.disc(h // 2)).all():
                whole.append(h // 2)
    solid = [size for size in sizes if size >= 1.0]
    if not solid:
        return 0, labels.exact
    # Upper quartile: what is left of covered discs would pull the middle down.
    usual = float(np.quantile(solid, 0.75))
    # A fragment can look like a small disc.
    fitting = [radius for radius in whole if abs(radius - usual) <= max(0.6, 0.2 * usual)]
    if labels.exact and fitting:
        return int(np.bincount(fitting).argmax()), True
    # JPEG and smooth scaling eat about 0.7 px of the rim.
    radius = usual + (0.0 if labels.exact else 0.7)
    return min(max(1, round(radius)), _MAX_RADIUS), False


def _discs_of(labels: Labels, joint: int, stamp: np.ndarray) -> list[tuple[int, int, float]]:
    """Centres (x, y) of one joint's discs, and the part of each that shows."""
    mask = labels.map == joint
    if not mask.any():
        return []
    radius = len(stamp) // 2
    height, width = mask.shape
    centres: list[tuple[int, int, float]] = []
    for y0, y1, x0, x1 in _windows(mask, radius):
        centres += [
            (x0 + x, y0 + y, share)
            for x, y, share in _fit_discs(
                mask[y0:y1, x0:x1],
                labels.map[y0:y1, x0:x1] == BLACK,
                _inside(stamp, y0, y1, x0, x1, height, width),
                stamp,
                labels.exact,
            )
        ]
    return centres


def _windows(mask: np.ndarray, radius: int) -> list[tuple[int, int, int, int]]:
    """Windows y0, y1, x0, x1 that hold whole discs: what crosses a disc cuts it in pieces, and
    pieces within a disc's reach of each other share a window."""
    boxes: list[tuple[int, int, int, int]] = []
    for rows, columns in _components(mask):
        box = (
            rows.start - radius,
            rows.stop + radius,
            columns.start - radius,
            columns.stop + radius,
        )
        apart = []
        for other in boxes:
            if box[0] < other[1] and other[0] < box[1] and box[2] < other[3] and other[2] < box[3]:
                box = (
                    min(box[0], other[0]),
                    max(box[1], other[1]),
                    min(box[2], other[2]),
                    max(box[3], other[3]),
                )
            else:
                apart.append(other)
        boxes = [*apart, box]
    height, width = mask.shape
    return [(max(0, a), min(height, b), max(0, c), min(width, d)) for a, b, c, d in boxes]


def _inside(
    stamp: np.ndarray, y0: int, y1: int, x0: int, x1: int, height: int, width: int
) -> np.ndarray:
    """How many pixels of the disc round each point of the window lie in the picture."""
    radius = len(stamp) // 2
    rows, columns = np.arange(y0, y1), np.arange(x0, x1)
    shown_rows = np.add.outer(rows, np.arange(-radius, radius + 1))
    shown_columns = np.add.outer(columns, np.arange(-radius, radius + 1))
    r = ((shown_rows >= 0) & (shown_rows < height)).astype(np.float64)
    c = ((shown_columns >= 0) & (shown_columns < width)).astype(np.float64)
    return r @ stamp @ c.T


def _fit_discs(
    own: np.ndarray, black: np.ndarray, inside: np.ndarray, stamp: np.ndarray, exact: bool
) -> list[tuple[int, int, float]]:
    """Greedy cover of a spot by discs: the centre whose disc holds most of the spot's pixels and no
    background, then again without those pixels."""
    from scipy import ndimage

    kernel = stamp.astype(np.float64)
    own = own.copy()
    dark = ndimage.correlate(black.astype(np.float64), kernel, mode="constant")
    # JPEG halves the resolution of colour: up to 1.9 px of the rim mix with what is beside the disc.
    least = _VISIBLE if exact else _VISIBLE * (1 - 1.9 / max(len(stamp) // 2, 3)) ** 2
    centres: list[tuple[int, int, float]] = []
    while True:
        held = ndimage.correlate(own.astype(np.float64), kernel, mode="constant")
        # Nothing black can lie in a painted disc; a blurred rim may look black.
        score = np.where(dark <= (0.5 if exact else 0.3 * stamp.sum()), held - dark, -np.inf)
        score[held < least * inside - 1e-9] = -np.inf
        best = score.max()
        if not np.isfinite(best):
            return centres
        y, x = np.nonzero(score >= best - (1e-6 if exact else 0.5))
        middle = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)
        cy, cx = int(y[middle]), int(x[middle])
        centres.append((cx, cy, float(held[cy, cx] / inside[cy, cx])))
        radius = len(stamp) // 2
        yy, xx = np.ogrid[: own.shape[0], : own.shape[1]]
        own &= (yy - cy) ** 2 + (xx - cx) ** 2 > (radius + 0.5) ** 2
