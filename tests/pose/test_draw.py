"""Pose maps against controlnet_aux's own painting."""

import sys

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.draw import Style, draw, sizes
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton

from .scenes import scene


@pytest.fixture(params=["opencv", "numpy"])
def painter(request, monkeypatch):
    """Both ways of painting limbs: with OpenCV, and on a machine that has none."""
    if request.param == "numpy":
        monkeypatch.setitem(sys.modules, "cv2", None)
    return request.param


def oracle(openpose, pose: Pose, hands: bool) -> np.ndarray:
    """controlnet_aux's map; faces and hands only where it does not need matplotlib for them."""
    point = openpose.body.Keypoint

    def fractions(points: np.ndarray) -> list:
        return [point(p[0] / pose.width, p[1] / pose.height) if p[2] > 0 else None for p in points]

    canvas = np.zeros((pose.height, pose.width, 3), np.uint8)
    for person in pose.people:
        openpose.util.draw_bodypose(canvas, fractions(person.body))
        if hands:
            openpose.util.draw_handpose(canvas, fractions(person.left_hand))
            openpose.util.draw_handpose(canvas, fractions(person.right_hand))
            openpose.util.draw_facepose(canvas, fractions(person.face))
    return canvas


def exact(points: np.ndarray) -> np.ndarray:
    """Points on a grid of 1/64 px: fractions of 512 and pixels are then the same numbers."""
    points = points.copy()
    points[:, :2] = np.round(points[:, :2] * 64) / 64
    return points


def test_body_equals_controlnet_aux(openpose, painter):
    rng = np.random.default_rng(11)
    for _ in range(60):
        # Anywhere and beyond, so that limbs of every length and slope cross the border too.
        people = []
        for _ in range(rng.integers(1, 5)):
            body = np.c_[rng.uniform(-60, 570, (18, 2)), rng.random(18) > 0.15]
            people.append(Skeleton.of(exact(body * body[:, 2:])))
        pose = Pose(512, 512, tuple(people))
        mine = draw(pose)
        assert (mine == oracle(openpose, pose, hands=False)).all()


def test_hands_and_face_equal_controlnet_aux(openpose):
    pytest.importorskip("matplotlib", reason="controlnet_aux draws hands with it")
    rng = np.random.default_rng(12)
    for _ in range(10):
        face = exact(np.c_[rng.uniform(2, 500, (70, 2)), np.ones(70)])
        hands = [exact(np.c_[rng.uniform(2, 500, (21, 2)), np.ones(21)]) for _ in range(2)]
        pose = Pose(512, 512, (Skeleton(np.zeros((18, 3)), face, *hands),))
        assert (draw(pose) == oracle(openpose, pose, hands=True)).all()


def test_both_painters_agree_at_other_sizes_and_styles(monkeypatch):
    rng = np.random.default_rng(13)
    for width, height in ((64, 96), (768, 1152), (2048, 1024)):
        pose = scene(rng, width, height, 3, apart=False)
        for style in Style:
            with_opencv = draw(pose, style)
            with monkeypatch.context() as without:
                without.setitem(sys.modules, "cv2", None)
                assert (draw(pose, style) == with_opencv).all()


def test_sizes_follow_the_nets():
    assert sizes(512, 768, Style.OPENPOSE) == (4, 4, 3)
    assert sizes(1024, 1024, Style.OPENPOSE) == (8, 8, 6)
    # Model card of xinsir/controlnet-openpose-sdxl-1.0: 1 below 500 px, else 2 + side // 1000.
    assert sizes(480, 480, Style.XINSIR)[:2] == (4, 4)
    assert sizes(1024, 768, Style.XINSIR)[:2] == (12, 4)
    assert sizes(9000, 512, Style.XINSIR)[:2] == (28, 4)


def test_empty_pose_is_black():
    assert not draw(Pose(40, 30, ())).any()
