"""Joints moved by hand: the text, and what the node makes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.control import Inputs, Options, pose_control
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.pose.draw import draw
from ensemble_portraits.ensemble.pose.joints import MOST_BODIES, pose_of, read_joints, write_joints
from ensemble_portraits.ensemble.pose.people import Mismatch
from ensemble_portraits.ensemble.pose.skeleton import FAR, Pose, Skeleton, write_pose_keypoint
from hypothesis import given
from hypothesis import strategies as st

TWO = default_pose(2, 768, 512)[0]
_part = st.floats(-FAR, 1 + FAR, allow_nan=False)
_body = st.lists(st.none() | st.tuples(_part, _part).map(list), min_size=18, max_size=18)


def never(picture):
    raise AssertionError("nobody is looked for where bodies are given by hand")


def control(joints, image=None, keypoints=None, text=None, **options):
    options = replace(Options(), joints=joints, **options)
    return pose_control(options, Inputs(image=image, keypoints=keypoints, people=text), never)


def swapped() -> str:
    return write_joints(TWO.with_people(TWO.people[::-1]))


@given(st.lists(_body, max_size=4))
def test_parts_become_joints_in_pixels_and_parts_again(bodies):
    pose = pose_of(read_joints(json.dumps(bodies)), 640, 448)
    assert len(pose.people) == len(bodies)
    for person, body in zip(pose.people, bodies, strict=True):
        for point, xy in zip(person.body, body, strict=True):
            wanted = [0, 0, 0] if xy is None else [xy[0] * 640, xy[1] * 448, 1]
            assert point == pytest.approx(wanted, abs=1e-9)
    again = json.loads(write_joints(pose))
    for body, back in zip(bodies, again, strict=True):
        assert [xy is None for xy in body] == [xy is None for xy in back]
        for xy, other in zip(body, back, strict=True):
            assert xy is None or other == pytest.approx(xy, abs=5.1e-5)  # four digits


def test_what_lies_too_far_outside_to_be_taken_is_missing():
    body = np.zeros((18, 3))
    body[0], body[1] = (3.1 * 100, 50, 1), (2.9 * 100, 50, 0.4)
    written = write_joints(Pose(100, 100, (Skeleton.of(body),)))
    assert json.loads(written)[0][:3] == [None, [2.9, 0.5], None]
    read_joints(written)


def entries(**changed) -> str:
    body = [[0.5, 0.5]] * 18
    for index, value in changed.items():
        body[int(index[1:])] = value
    return json.dumps([[[0.1, 0.1]] * 18, body])


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("left", "'left' must be a JSON list"),
        ("{}", "must be a JSON list"),
        ("[" * 100_000, "must be a JSON list"),
        ("[1]", "body 1: 1 must be a list of 18"),
        ("[[]]", "body 1: 0 joints must be a list of 18"),
        (json.dumps([[None] * 17]), "body 1: 17 joints"),
        (json.dumps([[None] * 25]), "write null for those that are missing"),
        (json.dumps([[None] * 18] * (MOST_BODIES + 1)), "33 bodies, and 32 are the most"),
        (entries(j5=[0.1]), "body 2, joint 5 (l shoulder): [0.1] must be [x, y]"),
        (entries(j5=[0.1, "a"]), "[0.1, 'a']"),
        (entries(j0=[float("nan"), 0]), "joint 0 (nose): [nan, 0] must be"),
        (entries(j0=[float("inf"), 0]), "nothing below -2 or above 3"),
        (entries(j0=[10**400, 0]), "joint 0"),
        (entries(j17=[True, 0]), "joint 17 (l ear): [True, 0]"),
        (entries(j17=0), "joint 17 (l ear): 0 must be"),
    ],
)
def test_bad_text_is_refused_by_input_value_and_way_out(text, needle):
    with pytest.raises(ValueError) as caught:
        read_joints(text)
    assert str(caught.value).startswith("Input 'joints'") and needle in str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "[]"])
def test_nothing_leaves_the_pose_as_it_is(text):
    assert read_joints(text) == []
    found = control(text, keypoints=write_pose_keypoint([TWO]))
    assert "the keypoints" in found.report and (found.pose_map == draw(TWO)).all()


def test_they_are_drawn_as_their_keypoints_are():
    wide = default_pose(3, 768, 512)[0]
    text = write_joints(wide)
    drawn = pose_of(read_joints(text), 768, 512)
    found = control(text, width=768, height=512)
    same = pose_control(
        Options(width=768, height=512), Inputs(keypoints=write_pose_keypoint([drawn])), never
    )
    assert (found.pose_map == same.pose_map).all() and (found.pose_map == draw(drawn)).all()
    assert (found.regions == same.regions).all() and found.people == 3


def test_they_win_over_picture_and_keypoints_which_give_the_size():
    photo = np.full((300, 400, 3), 127, np.uint8)
    text = write_joints(TWO)
    for found, size in [
        (control(text, photo, write_pose_keypoint([TWO])), (680, 512)),
        (control(text, None, write_pose_keypoint([default_pose(1, 512, 768)[0]])), (512, 768)),
        (control(text), (512, 512)),
        (control(text, photo, width=256), (256, 192)),
    ]:
        assert (found.pose.width, found.pose.height) == size and found.people == 2
        for person, whole in zip(found.pose.people, TWO.people, strict=True):
            wanted = whole.body[:, :2] / (768, 512) * size
            assert np.abs(person.body[:, :2] - wanted).max() < 0.05


def test_a_body_stays_its_person_wherever_it_is_moved():
    found = control(swapped(), width=768, height=512)
    for region, person in zip(found.regions, TWO.people[::-1], strict=True):
        x, y = person.body[1, :2].astype(int)
        assert region[y, x] > 0.9
    assert "person 1: body 2 from the left" in found.report
    turned = control(swapped(), width=768, height=512, order="2,1")
    assert (turned.regions == found.regions.flip(0)).all()


def test_people_in_the_prompt_and_bodies_must_agree():
    with pytest.raises(ValueError, match="shows 2 people and the prompt has 3"):
        control(write_joints(TWO), people=3)
    found = control(write_joints(TWO), people=1, on_mismatch=Mismatch.CROP)
    assert found.people == 1 and len(found.pose.people) == 1


@pytest.mark.parametrize("order", ["", "2,0,1"])
def test_what_was_shown_is_where_moving_starts(order):
    three = write_pose_keypoint([default_pose(3, 768, 512)[0]])
    before = pose_control(Options(order=order), Inputs(keypoints=three), never)
    # Those who were left out too, or `order` would no longer fit.
    assert len(before.bodies.people) == 3
    after = control(write_joints(before.bodies), keypoints=three, order=order)
    assert after.people == before.people
    assert np.abs((after.regions - before.regions).numpy()).mean() < 1e-3  # four digits of a part


def test_people_in_rows_start_as_they_stood():
    before = pose_control(Options(people=7, width=512, height=768), Inputs(), never)
    after = control(write_joints(before.bodies), width=512, height=768)
    assert after.people == 7
    assert np.abs((after.regions - before.regions).numpy()).mean() < 1e-3
