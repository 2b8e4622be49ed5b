"""Warping on pictures whose landmarks are known."""

import cv2
import numpy as np
import pytest
import torch
from astronaut import (
    ANCHORS,
    BOX,
    DENSE,
    face,
    face_through,
    picture,
    seen_through,
    turned,
)
from ensemble_portraits.ensemble.faces import warp as warping
from ensemble_portraits.ensemble.faces.align import WHOLE_CROP, moved, sample
from ensemble_portraits.ensemble.faces.boxes import Face, Landmarks
from ensemble_portraits.ensemble.faces.warp import (
    Reference,
    Warp,
    carried_reference,
    match_colour,
    warp_faces,
)
from ensemble_portraits.ensemble.regions.rect import Rect

MATRIX = turned(-17, 1.4, 25, 60)


def reference(dense: bool = False) -> Reference:
    return Reference(picture()[0], face(dense))


def dots(points: np.ndarray, size: int = 512) -> torch.Tensor:
    """Soft dots, one channel each, `[n,size,size]`."""
    y, x = np.mgrid[:size, :size] + 0.5
    field = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 1.2**2)) for px, py in points]
    return torch.tensor(np.array(field), dtype=torch.float32)


def centroids(field: torch.Tensor) -> np.ndarray:
    field = field.clamp(min=0).double().numpy()
    y, x = np.mgrid[: field.shape[1], : field.shape[2]] + 0.5
    total = field.sum(axis=(1, 2))
    return np.c_[(field * x).sum((1, 2)) / total, (field * y).sum((1, 2)) / total]


def landmark_error(target: Face, source: Face, thin_plate: bool) -> np.ndarray:
    """Pixels between where each landmark of the reference lands and the target's own: dots painted
    on the reference's landmarks are looked for in what was warped."""
    points, wanted = source.landmarks.dense, target.landmarks.dense
    if points is None or wanted is None:
        points, wanted = source.landmarks.anchors, target.landmarks.anchors
    landed = []
    for start in range(0, len(points), 3):
        some = points[start : start + 3]
        some = np.r_[some, np.repeat(some[-1:], 3 - len(some), axis=0)]
        marked = Reference(dots(some).movedim(0, -1), source)
        warped = carried_reference(target, marked, WHOLE_CROP, thin_plate)
        landed.append(centroids(warped)[: len(points) - start])
    return np.linalg.norm(np.concatenate(landed) - wanted, axis=1)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("thin_plate", [False, True])
def test_landmarks_land_on_landmarks(dense, thin_plate):
    """Target and reference are one picture, moved by a known similarity."""
    error = landmark_error(face_through(MATRIX, dense), face(dense), thin_plate)
    assert error.max() < 0.1  # pixels; a tenth of what a pixel's rounding would cost


@pytest.mark.parametrize("thin_plate", [False, True])
def test_only_the_spline_meets_another_expression(thin_plate):
    """The face below has its mouth 6 px higher and one eye 3 px farther out. The reference is a
    picture of its own coordinates, so each landmark's pixel tells where it came from."""
    other = DENSE.copy()
    other[3:5, 1] -= 6
    other[0, 0] -= 3
    y, x = torch.meshgrid(torch.arange(512.0), torch.arange(512.0), indexing="ij")
    ramp = Reference(torch.stack([x, y, x], dim=-1) + 0.5, face(True))
    place = Rect.pixels(160, 60, 300, 200)
    moved_face = BOX.with_landmarks(Landmarks(other[:5], other))
    warped = carried_reference(moved_face, ramp, place, thin_plate)
    points = torch.from_numpy(other - (160, 60)).float()[None]
    came_from = sample(warped, points, 1)[:2, 0].T.numpy()
    error = np.linalg.norm(came_from - DENSE, axis=1)
    # Torch's cubic bends a ramp by up to 0.05, twice here; the spline's grid costs the rest.
    assert error.max() < 0.25 if thin_plate else error.max() > 3


def test_the_same_face_comes_out_where_it_was():
    """Swapped for itself from another, darker picture: features stay within half a pixel, told by
    scikit-image's registration, and the colours come back."""
    from skimage.registration import phase_cross_correlation

    target = seen_through(MATRIX)
    dark = Reference((picture()[0] * torch.tensor([0.6, 0.7, 0.9])), face(True))
    result = warp_faces(target, [[(face_through(MATRIX, True), dark)]], Warp())
    assert not torch.equal(result, target)
    for x, y in moved(ANCHORS, MATRIX).round().astype(int):
        patch = (0, slice(y - 16, y + 16), slice(x - 16, x + 16))
        before, after = (image[patch].mean(-1).numpy() for image in (target, result))
        shift, _, _ = phase_cross_correlation(before, after, upsample_factor=20)
        assert np.abs(shift).max() <= 0.5
    changed = (result != target).any(-1)
    difference = (result - target).abs()[changed]
    assert difference.mean() < 4 / 255  # two resamplings and 8 bits


def test_without_colour_matching_the_face_keeps_its_contrast():
    flat = Reference(picture()[0] * 0.6 + 0.2, face())
    target = picture()
    spreads = []
    for share in (0.0, 1.0):
        result = warp_faces(target, [[(face(), flat)]], Warp(match_colour=share))
        spreads.append(float(result[0, 110:150, 200:250].std()))
    own = float(target[0, 110:150, 200:250].std())
    assert abs(spreads[1] - own) < 0.5 * abs(spreads[0] - own)


def test_landmarks_that_fall_together_bend_all_the_same():
    twice = BOX.with_landmarks(Landmarks(ANCHORS, np.r_[DENSE, DENSE[-2:]]))
    target = picture()
    result = warp_faces(target, [[(twice, Reference(target[0], twice))]], Warp(thin_plate=True))
    assert (result - target).abs().mean() < 1 / 255


def test_matched_colours_have_the_others_mean_and_spread():
    rng = np.random.default_rng(0)
    ours, theirs = rng.uniform(0.35, 0.6, (2, 40, 40, 3)).astype(np.float32)
    theirs[..., 0] += 0.1
    where = np.zeros((40, 40), bool)
    where[5:30, 8:35] = True
    matched = match_colour(cv2, ours, theirs, where)
    lab = [cv2.cvtColor(p, cv2.COLOR_RGB2Lab)[where] for p in (matched, theirs)]
    # Values that leave the range of RGB are cut, which costs a little.
    np.testing.assert_allclose(lab[0].mean(0), lab[1].mean(0), atol=0.3)
    np.testing.assert_allclose(lab[0].std(0), lab[1].std(0), rtol=0.05)


@pytest.mark.parametrize("shift", [(0, 0), (3, 5), (-60, 12)])
def test_cloning_a_picture_onto_itself_moves_nothing(shift):
    """OpenCV places by the bounding box, which has cost others half-pixel jumps."""
    image = picture()[0, 60:200, 150:301].numpy()
    y, x = np.mgrid[:140, :151]
    where = np.hypot(x - 75 - shift[0], y - 70 - shift[1]) < 50
    cloned = warping._clone(cv2, image, image, where)
    assert np.abs(cloned - image).max() < 3 / 255


def test_pixels_outside_stay_bit_for_bit():
    alpha = torch.rand(1, 512, 512, 1, generator=torch.Generator().manual_seed(0))
    target = torch.cat([seen_through(MATRIX), alpha], dim=-1)
    bright = Reference(1 - picture()[0], face(True))
    aligned = face_through(MATRIX, True)
    result = warp_faces(target, [[(aligned, bright)]], Warp())
    hull = cv2.convexHull(aligned.landmarks.dense.astype(np.float32))
    y, x = torch.nonzero((result != target).any(-1)[0]).T.tolist()
    inside = [
        cv2.pointPolygonTest(hull, (a + 0.5, b + 0.5), True) for a, b in zip(x, y, strict=True)
    ]
    assert len(inside) > 5000 and min(inside) > -1.0
    assert torch.equal(result[..., 3], target[..., 3])


@pytest.mark.parametrize("middle", [(8.0, 200.0), (500.0, 500.0), (250.0, 1.0), (-300.0, 9.0)])
def test_faces_at_the_border(middle):
    matrix = turned(0, 1.0, middle[0] - BOX.box.centre[0], middle[1] - BOX.box.centre[1])
    target = seen_through(matrix)
    result = warp_faces(target, [[(face_through(matrix, True), reference(True))]], Warp())
    assert result.isfinite().all()
    # The same face again: whatever the border cuts off, nothing jumps.
    assert (result - target).abs().mean() < 1 / 255


def test_a_reference_that_does_not_cover_the_face_covers_what_it_can():
    half = Reference(picture()[0, :, :225], face())
    target = picture()
    result = warp_faces(target, [[(face(), half)]], Warp())
    changed = (result != target).any(-1)[0]
    assert changed[:, :220].any() and not changed[:, 226:].any()


def test_a_face_of_13_pixels():
    small = turned(0, 0.15, 0, 0)
    target = seen_through(small)
    result = warp_faces(target, [[(face_through(small, True), reference(True))]], Warp())
    changed = (result != target).any(-1)
    assert result.isfinite().all() and 20 < changed.sum() < 400
    assert (result - target).abs()[changed].mean() < 6 / 255


def test_the_soft_edge_lies_inside_and_ends_nowhere_at_the_border():
    where = np.zeros((60, 60), bool)
    where[20:, 10:50] = True
    soft = warping._soft(where, 8.0)
    assert not soft[~where].any() and soft[40, 30] == 1
    assert 0 < soft[20, 30] < 0.1 and soft[59, 30] == 1 and soft[59, 10] < 0.1
    assert (np.diff(soft[20:, 30]) >= 0).all()
