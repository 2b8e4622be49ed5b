"""A drawn pose map -> the skeletons in it.

Joints are discs of 18 colours that no limb has; people are put together along the limbs, whose
ellipses have a colour per kind of limb. A joint counts as seen where at least 60 % of its disc, as
far as it lies in the picture, shows its colour; what is hidden stays missing.
"""

import numpy as np

from ..regions.body18 import BODY_POINTS
from . import discs, palette, raster
from .assemble import Candidate, assemble
from .palette import Labels
from .skeleton import Pose

_MAX_RADIUS = 64


def recognise(image: np.ndarray) -> bool:
    """Whether an RGB uint8 picture `[H,W,3]` is a drawn skeleton rather than a photo."""
    return palette.looks_drawn(palette.label(image))


def read(image: np.ndarray) -> Pose:
    """The people of a pose map, RGB uint8 `[H,W,3]`, in pixels of that picture.

    Joints whose person is not known - no limb leads to them - come as people of their own with
    that one joint; nothing is guessed.
    """
    labels = palette.sharpened(palette.label(image), image)
    height, width = labels.map.shape
    radius, exact = _disc_radius(labels)
    if radius == 0:
        return Pose(width, height, ())
    labels = Labels(labels.map, exact)
    stamp = raster.disc(radius)
    found = [
        Candidate(joint, x, y, share)
        for joint in range(BODY_POINTS)
        for x, y, share in discs.find(labels, joint, stamp)
    ]
    return Pose(width, height, tuple(assemble(found, labels, radius)))


def _disc_radius(labels: Labels) -> tuple[int, bool]:
    """Radius of the joints in pixels, 0 where there are none, and whether they are discs to the
    pixel: a map that was resized by whole pixels has pure colours and other discs."""
    whole: list[int] = []
    sizes: list[float] = []
    for joint in range(BODY_POINTS):
        mask = labels.map == joint
        if not mask.any():
            continue
        for rows, columns in discs.components(mask):
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
    # One fragment can look like a small disc; and discs of people close together melt into one.
    fitting = [radius for radius in whole if abs(radius - usual) <= max(0.6, 0.2 * usual)]
    fitting = fitting or [radius for radius in whole if radius > 2]
    if labels.exact and fitting:
        return int(np.bincount(fitting).argmax()), True
    # JPEG and smooth scaling eat about 0.7 px of the rim.
    radius = usual + (0.0 if labels.exact else 0.7)
    return min(max(1, round(radius)), _MAX_RADIUS), False
