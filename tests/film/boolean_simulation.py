"""The Boolean film model by brute force: exact discs dropped at random, seen through a pixel's
aperture.

An independent check of `ensemble/film/boolean.py`: no covariance, no closed form, only discs.
"""

import numpy as np
from scipy import ndimage


def simulate(
    grey: float, radius: float, blur: float, size: int, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Pixel values `[size, size]` for discs of `radius` px; `samples` points per pixel and axis.

    A raster point is black when its centre lies inside some disc (the exact test d < r, so coverage
    is not inflated). The pixel sees the mean of its points behind a Gaussian of `blur` px, on a
    torus.
    """
    side = size * samples
    r = radius * samples
    count = rng.poisson(-np.log1p(-grey) / (np.pi * r * r) * side * side)
    centre = rng.uniform(0, side, (count, 2))
    corner = np.floor(centre - r).astype(np.int64)
    covered = np.zeros((side, side), dtype=bool)
    span = int(np.ceil(2 * r)) + 2
    for dy in range(span):
        y = corner[:, 0] + dy
        gap = (y + 0.5 - centre[:, 0]) ** 2
        for dx in range(span):
            x = corner[:, 1] + dx
            inside = gap + (x + 0.5 - centre[:, 1]) ** 2 < r * r
            covered[y[inside] % side, x[inside] % side] = True
    seen = covered.astype(np.float32)
    if blur:
        seen = ndimage.gaussian_filter(seen, blur * samples, mode="wrap", truncate=4)
    return seen.reshape(size, samples, size, samples).mean((1, 3))
