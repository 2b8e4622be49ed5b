"""Who is in a picture, read off the colours that only identities wear."""

import math

import numpy as np

from .people import IDENTITIES
from .words import SIGNATURE

_RADIUS = 70.0  # in RGB: farther from all four colours a pixel is none of them


def identity_scores(
    picture: np.ndarray, box: tuple[float, float, float, float] | None = None
) -> list[float]:
    """How much each of IDENTITIES shows in RGB uint8 `[H,W,3]`, or in a box of it (left, top, right,
    bottom in pixels): the geometric mean of the shares of its two hair colours, in per cent.

    Half a per cent and more for somebody who is there whole, about 0 for who is not. Two people who
    share a colour can make a third of their other two; 1 and 2, 3 and 4, 5 and 6 share none.
    """
    pixels = np.asarray(picture)[..., :3].astype(np.float32)
    if box is not None:
        left, top, right, bottom = (max(0, int(value)) for value in box)
        pixels = pixels[top:bottom, left:right]
    colours = np.array(list(SIGNATURE.values()), np.float32)
    distance = np.stack([np.sqrt(((pixels - colour) ** 2).sum(-1)) for colour in colours])
    near, nearest = distance.min(0) < _RADIUS, distance.argmin(0)
    shares = {name: float((near & (nearest == i)).mean()) * 100 for i, name in enumerate(SIGNATURE)}
    return [math.sqrt(shares[who.hair[0]] * shares[who.hair[1]]) for who in IDENTITIES]
