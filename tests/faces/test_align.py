"""Similarities against scikit-image, carrying pictures against torch and scipy, and what is read from
sockets."""

import numpy as np
import pytest
import torch
from astronaut import ANCHORS, BOX, face, face_landmarks, face_through, picture, turned
from ensemble_portraits.ensemble.faces import landmarks as reading
from ensemble_portraits.ensemble.faces.align import (
    CROP,
    TEMPLATE,
    WHOLE_CROP,
    carry,
    crop_matrix,
    inverse,
    moved,
    oval,
    sample,
    similarity,
    window,
)
from ensemble_portraits.ensemble.faces.boxes import Face, Landmarks
from ensemble_portraits.ensemble.faces.landmarks import (
    MAX_FACES,
    FaceInputs,
    aligned_faces,
    read_boxes,
    read_landmarks,
)
from ensemble_portraits.ensemble.regions.rect import Rect
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 2**32 - 1), st.integers(3, 12))
def test_similarity_is_scikit_images(seed, count):
    from skimage.transform import SimilarityTransform

    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 500, (2, count, 2))
    expected = SimilarityTransform.from_estimate(source, target)
    # Beyond a mirrored pair scikit-image and the closed form are one formula in float64.
    np.testing.assert_allclose(similarity(source, target), expected.params[:2], atol=1e-6)


def test_landmarks_on_one_point_are_refused():
    with pytest.raises(ValueError, match="one point"):
        similarity(np.ones((5, 2)), TEMPLATE)


def test_a_crop_puts_the_landmarks_on_the_template():
    placed = moved(ANCHORS, crop_matrix(face()))
    # The astronaut smiles and looks up a little; her features are the template's within 6 %.
    assert np.abs(placed - TEMPLATE).max() < 0.06 * CROP
    np.testing.assert_allclose(placed.mean(axis=0), TEMPLATE.mean(axis=0), atol=1e-9)


def test_a_square_crop_is_near_the_aligned_one():
    """What a network sees without landmarks is what it was trained on, within a tenth."""
    by_box = moved(ANCHORS, crop_matrix(BOX))
    assert np.abs(by_box - moved(ANCHORS, crop_matrix(face()))).max() < 0.1 * CROP


def test_three_landmarks_align_too():
    matrix = crop_matrix(BOX.with_landmarks(Landmarks(ANCHORS[:3])))
    np.testing.assert_allclose(moved(ANCHORS[:3], matrix).mean(0), TEMPLATE[:3].mean(0), atol=1e-9)


def test_carrying_by_the_identity_changes_nothing():
    planes = picture()[0].movedim(-1, 0)
    same = carry(planes, np.array([[1.0, 0, 0], [0, 1.0, 0]]), WHOLE_CROP)
    # Places are worked out in float32, to about 1e-5 of a pixel.
    assert (same - planes).abs().max() < 1e-4


def test_carrying_by_whole_pixels_is_slicing():
    planes = picture()[0].movedim(-1, 0)
    part = carry(planes, np.array([[1.0, 0, 30], [0, 1.0, 20]]), Rect.pixels(3, 4, 53, 44))
    assert (part - planes[:, 24:64, 33:83]).abs().max() < 1e-4


@pytest.mark.parametrize("factor", [2, 5])
def test_shrinking_is_the_mean(factor):
    """The oracle is torch's area pooling: each result pixel is the mean of what falls into it."""
    planes = torch.rand(3, 60, 60, generator=torch.Generator().manual_seed(0))
    small = carry(
        planes,
        np.array([[factor, 0, 0], [0, factor, 0.0]]),
        Rect.pixels(0, 0, 60 // factor, 60 // factor),
    )
    assert (small - torch.nn.functional.avg_pool2d(planes, factor)).abs().max() < 1e-4


def test_there_and_back_keeps_a_smooth_picture():
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    planes = torch.stack([(x / 40).sin(), (y / 30).cos(), ((x + y) / 50).sin()]) / 2 + 0.5
    matrix = turned(20, 2.5, -100, 0)
    there = carry(planes, inverse(matrix), WHOLE_CROP)
    back = carry(there, matrix, Rect.pixels(0, 0, 256, 256))
    inside = (slice(None), slice(100, 150), slice(190, 230))
    assert (back[inside] - planes[inside]).abs().max() < 2 / 255


def test_a_window_covers_the_crop_and_stays_inside():
    matrix = crop_matrix(face())
    shown = window(matrix, CROP, 512, 512)
    corners = moved(np.array([[0, 0], [CROP, CROP]]), inverse(matrix))
    assert shown.left <= corners[:, 0].min() and shown.right >= corners[:, 0].max()
    assert 0 <= shown.top < shown.bottom <= 512
    off = np.array([[1.0, 0, -5000], [0, 1.0, 0]])
    assert window(off, CROP, 512, 512) is None


def test_the_oval_ends_before_the_crop():
    shape = oval()[0]
    border = torch.cat([shape[:16].ravel(), shape[:, :16].ravel(), shape[:, -16:].ravel()])
    assert not border.any() and not shape[-8:].any()
    assert all(shape[int(y), int(x)] == 1 for x, y in TEMPLATE)


def test_samples_take_any_place():
    from scipy.ndimage import map_coordinates

    # Of a ramp the value tells the place; torch's cubic (a = -0.75) bends one by up to 0.05.
    y, x = np.mgrid[:20, :30].astype(np.float32)
    points = np.random.default_rng(0).uniform(4, 15, (6, 7, 2)).astype(np.float32)
    got = sample(torch.from_numpy(np.stack([x, y])), torch.from_numpy(points), 1).numpy()
    for channel, plane in enumerate((x, y)):
        expected = map_coordinates(plane, [points[..., 1] - 0.5, points[..., 0] - 0.5], order=1)
        np.testing.assert_allclose(got[channel], expected, atol=0.06)


def test_mesh_landmarks_are_read_and_scaled():
    row = read_landmarks(face_landmarks([face()]), 1, 1024, 512)[0]
    np.testing.assert_allclose(row[0].landmarks.anchors, ANCHORS * (2, 1), rtol=1e-6)
    assert row[0].box.left == 2 * BOX.box.left and row[0].box.top == BOX.box.top


def _person(points: int) -> dict:
    """The astronaut as POSE_KEYPOINT: eyes and nose, or the 70 points of a face."""
    body = np.zeros((18, 3))
    for joint, anchor in zip((14, 15, 0), ANCHORS[:3], strict=True):
        body[joint] = (*anchor, 1)
    person = {"pose_keypoints_2d": body.ravel().tolist()}
    if points:
        dots = np.full((points, 3), 1.0)
        dots[:, :2] = (225, 130)
        for group, anchor in zip(
            (range(36, 42), range(42, 48), [30], [48], [54]), ANCHORS, strict=True
        ):
            dots[list(group), :2] = anchor
        person["face_keypoints_2d"] = dots.ravel().tolist()
    return person


@pytest.mark.parametrize(("points", "count"), [(0, 3), (68, 5), (70, 5)])
def test_poses_give_landmarks(points, count):
    pose = {"canvas_width": 512, "canvas_height": 512, "people": [_person(points)]}
    (found,) = read_landmarks([pose], 1, 256, 256)[0]
    np.testing.assert_allclose(found.landmarks.anchors, ANCHORS[:count] / 2, rtol=1e-6)
    assert (found.landmarks.dense is not None) == bool(points)
    # Roughly the face by which boxes are meant: brows to chin.
    assert abs(found.box.centre[0] - BOX.box.centre[0] / 2) < 10


def test_a_back_gives_no_face():
    pose = {
        "canvas_width": 9,
        "canvas_height": 9,
        "people": [{"pose_keypoints_2d": [4, 4, 1] * 2 + [0] * 48}],
    }
    assert read_landmarks(pose, 1, 9, 9) == [[]]


BOX_DICT = {"x": 181, "y": 88, "width": 89, "height": 90}


@pytest.mark.parametrize("value", [BOX_DICT, [BOX_DICT], [[BOX_DICT], [BOX_DICT]]])
def test_all_forms_of_boxes(value):
    rows = read_boxes(value, 2)
    assert [[each.box.centre for each in row] for row in rows] == [[BOX.box.centre]] * 2


def test_boxes_of_one_face_count_once():
    near = {**BOX_DICT, "x": 185, "score": 0.5}
    assert len(read_boxes([BOX_DICT, near], 1)[0]) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "BOUNDING_BOX"),
        ("face", "width"),
        ([{"x": 1}], "width"),
        ([["face"]], "width"),
        ([[BOX_DICT], [BOX_DICT], []], "3 pictures, and there are 2"),
    ],
)
def test_bad_boxes_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        read_boxes(value, 2)


def test_batches_with_different_counts():
    boxes = [[BOX_DICT], [], [BOX_DICT, {"x": 10, "y": 10, "width": 30, "height": 30}]]
    found = aligned_faces(picture().expand(3, -1, -1, -1), FaceInputs(boxes=boxes))
    assert [len(row) for row in found.faces] == [1, 0, 2]
    assert found.notes == ("picture 2: no face, left as it is",)


def test_two_hundred_faces_are_limited_to_the_biggest():
    boxes = [
        {"x": 25 * (i % 20), "y": 25 * (i // 20), "width": 5 + i / 20, "height": 5}
        for i in range(200)
    ]
    found = aligned_faces(picture(), FaceInputs(boxes=boxes))
    assert len(found.faces[0]) == MAX_FACES
    assert min(each.box.side for each in found.faces[0]) >= 5 + (200 - MAX_FACES) / 20
    assert "200 faces" in found.notes[0] and str(MAX_FACES) in found.notes[0]


def test_boxes_outside_and_without_size_are_no_faces():
    boxes = [{"x": 600, "y": 0, "width": 9, "height": 9}, {"x": 5, "y": 5, "width": 0, "height": 9}]
    assert aligned_faces(picture(), FaceInputs(boxes=boxes)).faces == [[]]


def test_landmarks_align_the_boxes_they_lie_in():
    two = [face(), face_through(turned(0, 0.5, 200, 200))]
    boxes = [BOX_DICT, {"x": 10, "y": 400, "width": 40, "height": 40}]
    inputs = FaceInputs(boxes=boxes, landmarks=face_landmarks(two))
    with_landmarks, without = aligned_faces(picture(), inputs).faces[0]
    np.testing.assert_allclose(with_landmarks.landmarks.anchors, ANCHORS, rtol=1e-6)
    assert with_landmarks.box.centre == BOX.box.centre and without.landmarks is None


def test_a_detector_looks_into_each_face(monkeypatch):
    """Core's MediaPipe model is asked with one crop per face; its points come back into the picture."""
    from ensemble_portraits.ensemble.segment import mediapipe_face

    template = Face.at(150, 150, 360, 460).with_landmarks(Landmarks(TEMPLATE))
    asked = []

    def seen(model, image):
        asked.append(tuple(image.shape))
        frame = face_landmarks([template], (CROP, CROP))["frames"][0]
        return {"frames": [frame] * len(image), "image_size": (CROP, CROP)}, []

    monkeypatch.setattr(mediapipe_face, "landmarks", seen)
    monkeypatch.setattr(reading, "mediapipe", lambda linked: linked)
    boxes = [BOX_DICT, {"x": 10, "y": 400, "width": 15, "height": 15}]
    found = aligned_faces(picture(), FaceInputs(boxes=boxes, face_detection=object()))
    assert asked == [(2, CROP, CROP, 3)]
    for each in found.faces[0]:
        back = moved(each.landmarks.anchors, crop_matrix(each.with_landmarks(None)))
        np.testing.assert_allclose(back, TEMPLATE, atol=1e-4)
