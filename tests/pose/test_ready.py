"""Poses that the editor offers."""

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.contact import Contact
from ensemble_portraits.ensemble.pose.joints import read_joints, write_joints
from ensemble_portraits.ensemble.pose.ready import ready_poses
from ensemble_portraits.ensemble.regions.body18 import Joint

SIZES = [(768, 512), (512, 768), (512, 512), (64, 4096)]


@pytest.mark.parametrize("size", SIZES)
def test_everybody_is_whole_and_comes_back_from_the_text(size):
    for name, pose in ready_poses(*size).items():
        assert len(pose.people) == (2 if name in list(Contact) else 1)
        for person in pose.people:
            assert person.seen.all(), name
            # Arms may leave a very narrow picture; nothing leaves it below or above.
            assert (person.body[:, 1] >= 0).all() and (person.body[:, 1] <= size[1]).all(), name
        assert len(read_joints(write_joints(pose))) == len(pose.people)


def test_they_do_what_they_are_called():
    (standing,), (sitting,), (waving,), (crossed,) = (
        ready_poses(768, 512)[name].people
        for name in ("standing", "sitting", "waving", "arms crossed")
    )
    arm = (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST)

    def at(person, *joints):
        return [person.body[joint, :2] for joint in joints]

    shoulder, elbow, wrist = at(waving, *arm)
    assert wrist[1] < shoulder[1] - 0.5 * np.linalg.norm(elbow - shoulder), "the hand is up"
    assert elbow[1] > wrist[1] and elbow[0] < shoulder[0], "the elbow below it, away from the body"
    assert np.linalg.norm(wrist - elbow) == pytest.approx(np.linalg.norm(elbow - shoulder))
    hip, knee, ankle = (at(sitting, j)[0][1] for j in (Joint.R_HIP, Joint.R_KNEE, Joint.R_ANKLE))
    upper, lower = knee - hip, ankle - knee
    assert 0 < upper < 0.5 * lower, "thighs lead towards who looks"
    right, left = at(crossed, Joint.R_WRIST, Joint.L_WRIST)
    assert right[0] > left[0], "each hand is on the other side"
    right, left = at(standing, Joint.R_WRIST, Joint.L_WRIST)
    assert right[0] < left[0]
