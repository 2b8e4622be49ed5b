"""Poses of people who touch: everybody in the picture, hands where they belong, depth told."""

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.contact import Contact, contact_pose
from ensemble_portraits.ensemble.pose.control import Inputs, NoPicture, Options, pose_control
from ensemble_portraits.ensemble.pose.read import read
from ensemble_portraits.ensemble.pose.skeleton import LIMBS, read_pose_keypoint, write_pose_keypoint
from ensemble_portraits.ensemble.regions.body import head_circle, torso_centre

ALL = [
    (contact, people)
    for contact in Contact
    for people in (2, 3)
    if (contact, people) != (Contact.SHAKING_HANDS, 3)
]


@pytest.mark.parametrize(("contact", "people"), ALL)
@pytest.mark.parametrize("size", [(512, 512), (768, 512), (832, 1216)])
def test_everybody_is_in_the_picture_from_left_to_right(contact, people, size):
    pose, layout = contact_pose(contact, people, *size)
    assert len(pose.people) == people and layout.head >= 64
    heads = [head_circle(person.body) for person in pose.people]
    for (x, y), radius in heads:
        assert radius < x < size[0] - radius and radius / 2 < y < size[1]
    across = [torso_centre(person.body)[0] for person in pose.people]
    assert across == sorted(across)
    for i, (one, radius) in enumerate(heads):
        for other, wide in heads[:i]:
            assert np.hypot(*(one - other)) > 0.8 * max(radius, wide)  # no face on a face
    for person in pose.people:
        assert person.seen.all()
        lengths = [np.hypot(*(person.body[a, :2] - person.body[b, :2])) for a, b in LIMBS]
        assert max(lengths) < 0.35 * layout.scale


def test_hands_touch():
    pose = contact_pose(Contact.SHAKING_HANDS, 2, 512, 512)[0]
    left, right = (person.body for person in pose.people)
    assert np.hypot(*(left[4, :2] - right[4, :2])) < 2
    pose = contact_pose(Contact.ARM_ROUND, 2, 512, 512)[0]
    left, right = (person.body for person in pose.people)
    assert np.hypot(*(left[7, :2] - right[5, :2])) < 30
    pose = contact_pose(Contact.CARRYING, 2, 512, 512)[0]
    adult, child = (person.body for person in pose.people)
    assert np.hypot(*(adult[7, :2] - child[[8, 11], :2].mean(0))) < 30
    assert torso(child) < 0.7 * torso(adult) and pose.people[1].front > pose.people[0].front


def torso(body) -> float:
    return float(np.linalg.norm(body[1, :2] - body[[8, 11], :2].mean(0)))


@pytest.mark.parametrize("contact", list(Contact))
def test_by_name_on_the_node(contact):
    def nobody(picture):
        raise AssertionError(picture)

    found = pose_control(Options(no_picture=NoPicture(contact.value)), Inputs(), nobody)
    assert found.people == 2 and contact.value in found.report
    assert found.regions.sum(0).max() <= 1 + 1e-5
    again = read_pose_keypoint(write_pose_keypoint([found.pose]))[0]
    assert [p.front for p in again.people] == [p.front for p in found.pose.people]
    assert len(read(found.pose_map).people) == 2
    # Said by order, the depth is another.
    told = pose_control(
        Options(no_picture=NoPicture(contact.value), order="1+,2"), Inputs(), nobody
    )
    assert told.pose.people[0].front > told.pose.people[1].front


def test_other_numbers_of_people_are_refused():
    with pytest.raises(ValueError, match=r"no_picture: shaking hands is a pose of 2 people, and 3"):
        pose_control(
            Options(no_picture=NoPicture.SHAKING_HANDS), Inputs(people=3), lambda picture: None
        )


def test_the_carried_child_has_its_own_region():
    found = pose_control(Options(no_picture=NoPicture.CARRYING), Inputs(), lambda picture: None)
    child = found.pose.people[1].body
    for joint in (0, 1, 8, 11):
        x, y = child[joint, :2].astype(int)
        assert found.regions[1, y, x] > 0.5
