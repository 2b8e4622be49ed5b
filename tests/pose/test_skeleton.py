import json

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.skeleton import (
    Pose,
    Skeleton,
    read_pose_keypoint,
    write_pose_keypoint,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def flat(points) -> list[float]:
    return [float(v) for v in np.asarray(points, dtype=float).ravel()]


BODY = np.c_[np.linspace(20, 500, 18), np.linspace(30, 600, 18), np.full(18, 0.9)]


def frame(width=512, height=640, **person) -> dict:
    return {"canvas_width": width, "canvas_height": height, "people": [person]}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.integers(0, 2**31))
def test_written_and_read_back(people, seed):
    rng = np.random.default_rng(seed)

    def points(count):
        made = np.c_[rng.uniform(2, 400, (count, 2)), rng.uniform(0.1, 1, count)]
        return made * (rng.random((count, 1)) > 0.3)

    pose = Pose(512, 640, tuple(
        Skeleton(points(18), points(70), points(21), points(21)) for _ in range(people)
    ))  # fmt: skip
    value = json.loads(json.dumps(write_pose_keypoint([pose])))
    for person in value[0]["people"]:
        lengths = [len(person[k]) // 3 for k in sorted(person)]
        assert lengths == [70, 6, 21, 21, 18]
    back = read_pose_keypoint(value)[0]
    assert (back.width, back.height, len(back.people)) == (512, 640, people)
    for a, b in zip(pose.people, back.people, strict=True):
        for name in ("body", "face", "left_hand", "right_hand"):
            assert np.allclose(getattr(a, name), getattr(b, name), atol=1e-9)


def test_null_faces_and_hands_of_dwpose():
    value = frame(
        pose_keypoints_2d=flat(BODY), face_keypoints_2d=None, hand_left_keypoints_2d=None,
        hand_right_keypoints_2d=None,
    )  # fmt: skip
    person = read_pose_keypoint([value])[0].people[0]
    assert np.allclose(person.body, BODY)
    assert not person.face.any() and not person.left_hand.any()


def test_fractions_become_pixels():
    parts = BODY.copy()
    parts[:, :2] /= (512, 640)
    parts[4] = 0
    person = read_pose_keypoint([frame(pose_keypoints_2d=flat(parts))])[0].people[0]
    assert np.allclose(person.body[:4], BODY[:4])
    assert not person.seen[4]


def test_body_25_loses_mid_hip_and_feet():
    body_25 = np.zeros((25, 3))
    kept = [*range(8), *range(9, 19)]
    body_25[kept] = BODY
    body_25[8] = (1, 1, 1)
    body_25[19:] = (2, 2, 1)
    person = read_pose_keypoint([frame(pose_keypoints_2d=flat(body_25))])[0].people[0]
    assert np.allclose(person.body, BODY)


def test_core_sdpose_frames_are_read():
    from comfy_extras.nodes_sdpose import _to_openpose_frames

    rng = np.random.default_rng(2)
    raw, scores = rng.uniform(10, 500, (133, 2)), rng.uniform(0.4, 1, 133)
    raw[9] = -1  # core marks what it did not find so
    scores[9] = 0.9
    pose = read_pose_keypoint(_to_openpose_frames([[raw]], [[scores]], 640, 512))[0]
    person = pose.people[0]
    assert (pose.width, pose.height) == (512, 640)
    # COCO order: 0 nose, 5 and 6 shoulders, 9 left wrist, 10 right wrist.
    assert np.allclose(person.body[0], [*raw[0], scores[0]])
    assert np.allclose(person.body[1, :2], (raw[5] + raw[6]) / 2)
    assert np.allclose(person.body[4, :2], raw[10])
    assert not person.seen[7]
    assert (person.face[:, 2] > 0).all() and (person.left_hand[:, 2] > 0).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, 1e9, -1e9])
def test_numbers_that_are_none_or_far_are_missing(bad):
    parts = flat(BODY)
    parts[0] = bad
    person = read_pose_keypoint([frame(pose_keypoints_2d=parts)])[0].people[0]
    assert not person.seen[0] and person.seen[1:].all()
    assert np.isfinite(person.body).all()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "not JSON"),
        (7, "POSE_KEYPOINT"),
        ([{"people": []}], "canvas_width"),
        ([{"canvas_width": 0, "canvas_height": 5, "people": []}], "0x5"),
        ([{"version": "ap10k", "animals": []}], "animals"),
        ([frame(pose_keypoints_2d=[1, 2])], "threes"),
        ([frame(pose_keypoints_2d=[1, 2, 3])], "1 joints"),
        ([frame(pose_keypoints_2d=["a"] * 54)], "flat list"),
        ([{"canvas_width": 9, "canvas_height": 9, "people": [3]}], "pose_keypoints_2d"),
    ],
)
def test_other_values_are_refused_in_words(value, says):
    with pytest.raises(ValueError, match=says):
        read_pose_keypoint(value)


def test_fitted_covers_and_cuts_round_the_centre():
    pose = Pose(400, 200, (Skeleton.of(np.tile([200.0, 100.0, 1.0], (18, 1))),))
    fitted = pose.fitted(100, 100)
    assert np.allclose(fitted.people[0].body[0], (50, 50, 1))
    edge = Pose(400, 200, (Skeleton.of(np.tile([100.0, 0.0, 1.0], (18, 1))),)).fitted(100, 100)
    assert np.allclose(edge.people[0].body[0], (0, 0, 1))
