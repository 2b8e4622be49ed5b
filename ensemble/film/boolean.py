"""The Boolean model of film: opaque discs dropped at random, as many as make the grey level.

Newson, Delon, Galerne, "A stochastic film grain model for resolution-independent rendering",
Computer Graphics Forum 2017; the Gaussian approximation: Newson, Faraj, Delon, Galerne, SSVM 2017.
Values here are float64 numpy arrays: they make a table once per run, and the table must be the same
on every device.
"""

import math

import numpy as np

# Per axis, the variance of the Gaussian kernel whose noise has the correlation area of the model at
# u = 0.5, in units of the radius squared: the area is 0.82 pi r^2 (integral of C_u / (u(1-u))), a
# kernel's 4 pi s^2.
DISC_VARIANCE = 0.205


def covariance(u: np.ndarray, distance: np.ndarray, radius: float) -> np.ndarray:
    """C_u(t) = (1-u)^2 (exp(-ln(1-u) g(t)) - 1), g the overlap of two discs at distance t over a
    disc's area.
    """
    q = np.clip(distance / (2.0 * radius), 0.0, 1.0)
    overlap = (2.0 / math.pi) * (np.arccos(q) - q * np.sqrt(1.0 - q * q))
    clear = 1.0 - u
    return clear ** (2.0 - overlap) - clear**2


def pixel_correlation(distance: np.ndarray, blur: float) -> np.ndarray:
    """Autocorrelation, along one axis, of what a pixel sees: a box of one pixel behind a Gaussian
    blur (px).

    The box is a triangle of half width 1; the blur widens it to its convolution with N(0, 2
    blur^2), the second difference of the Gaussian's twice integrated density.
    """
    distance = np.abs(distance)
    if blur < 1e-3:
        return np.clip(1.0 - distance, 0.0, None)
    spread = math.sqrt(2.0) * blur

    def ramp(x: np.ndarray) -> np.ndarray:
        from scipy.special import ndtr

        z = x / spread
        return x * ndtr(z) + spread * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

    return ramp(distance + 1.0) - 2.0 * ramp(distance) + ramp(distance - 1.0)


def variance(u: np.ndarray, radius: float, blur: float) -> np.ndarray:
    """Variance of a pixel at constant grey `u` (0..1), for discs of `radius` px seen through `blur`
    px.

    V(u) = integral of C_u(|t|) a(t_x) a(t_y) over the plane, with a = `pixel_correlation`; polar
    Gauss-Legendre.
    """
    nodes, weights = np.polynomial.legendre.leggauss(48)
    t = radius * (nodes + 1.0)  # 0 .. 2 radius
    angle = (nodes + 1.0) * (math.pi / 8.0)  # an eighth of the circle; the rest is its mirror image
    around = pixel_correlation(t[:, None] * np.cos(angle), blur)
    around = around * pixel_correlation(t[:, None] * np.sin(angle), blur)
    ring = around @ weights * math.pi * t  # 8 * (pi/8) * sum
    return covariance(np.asarray(u, dtype=np.float64)[:, None], t, radius) @ (
        ring * weights * radius
    )
