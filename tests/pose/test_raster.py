"""The rasterisers against OpenCV, pixel for pixel."""

import cv2
import numpy as np
import pytest
from ensemble_portraits.ensemble.pose import raster
from hypothesis import given, settings
from hypothesis import strategies as st

SIDE = st.integers(20, 300)
COORDINATE = st.integers(-80, 380)


def painted(pixels: raster.Pixels, height: int, width: int) -> np.ndarray:
    canvas = np.zeros((height, width), np.uint8)
    canvas[pixels.y, pixels.x] = 1
    return canvas


@settings(max_examples=200, deadline=None)
@given(SIDE, SIDE, COORDINATE, COORDINATE, st.integers(0, 250), st.integers(1, 30),
       st.integers(-180, 180))  # fmt: skip
def test_ellipse_is_opencvs(height, width, x, y, half, stick, angle):
    corners = cv2.ellipse2Poly((x, y), (half, stick), angle, 0, 360, 1)
    expected = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(expected, corners, 1)
    mine = raster.ellipse_polygons(np.array([[x, y]]), np.array([[half, stick]]), np.array([angle]))
    assert (painted(raster.fill_polygons(mine, height, width), height, width) == expected).all()


def test_many_ellipses_at_once_are_each_by_itself():
    rng = np.random.default_rng(3)
    centres, angles = rng.integers(0, 200, (12, 2)), rng.integers(-180, 180, 12)
    axes = np.c_[rng.integers(0, 90, 12), np.full(12, 4)]
    corners = raster.ellipse_polygons(centres, axes, angles)
    together = raster.fill_polygons(corners, 200, 200)
    for i in range(12):
        own = together.shape == i
        alone = raster.fill_polygons(corners[i : i + 1], 200, 200)
        part = raster.Pixels(together.y[own], together.x[own], together.shape[own])
        assert (painted(part, 200, 200) == painted(alone, 200, 200)).all()


@pytest.mark.parametrize("radius", range(31))
def test_disc_is_opencvs(radius):
    expected = np.zeros((71, 71), np.uint8)
    cv2.circle(expected, (35, 35), radius, 1, thickness=-1)
    mine = raster.discs(np.array([[35, 35]]), radius, 71, 71)
    assert (painted(mine, 71, 71) == expected).all()


@settings(max_examples=200, deadline=None)
@given(SIDE, SIDE, *[st.integers(1, 380)] * 4)
def test_thick_line_is_opencvs(height, width, x1, y1, x2, y2):
    # Hands are drawn from pixel 1 on; OpenCV's clipping at the upper left border is not restated.
    expected = np.zeros((height, width), np.uint8)
    cv2.line(expected, (x1, y1), (x2, y2), 1, thickness=2)
    mine = raster.thick_line((x1, y1), (x2, y2), height, width)
    assert (painted(mine, height, width) == expected).all()
