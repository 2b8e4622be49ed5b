"""Pose maps of drawn people, whose joints are known, by a drawer that is not ours (Pillow)."""

import random

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.read import read
from scipy.optimize import linear_sum_assignment

from dolls.world import bodies, make_scene, skeleton
from dolls.world.pose_map import skeleton_index

pytestmark = pytest.mark.long


def test_everybody_is_read_back_with_their_own_joints():
    """No joint is lost that shows, none is made up, and no limb comes off: at a short side of 256
    limbs are 4 px wide and their ends thin."""
    for seed in range(90):
        scene = make_scene(random.Random(seed))
        found = read(np.asarray(skeleton(scene))).people
        wanted = bodies(scene)
        assert len(found) == len(wanted), f"scene {seed}"
        # What is read is the pixel in the middle.
        read_back = np.stack([person.body for person in found]) + np.array([0.5, 0.5, 0.0])
        off = np.array([[_off(one, two) for two in wanted] for one in read_back])
        for i, k in zip(*linear_sum_assignment(off), strict=True):
            seen, there = found[i].seen, wanted[k][:, 2] > 0
            assert not (seen & ~there).any()
            both = seen & there
            away = np.linalg.norm(read_back[i][both, :2] - wanted[k][both, :2], axis=1)
            assert away.max() <= 2.0, f"scene {seed}"
            for joint in np.flatnonzero(there & ~seen):
                assert _covered(scene, joint, wanted[k][joint, :2]), f"scene {seed} joint {joint}"


def _off(one: np.ndarray, two: np.ndarray) -> float:
    both = (one[:, 2] > 0) & (two[:, 2] > 0)
    return (
        float(np.linalg.norm(one[both, :2] - two[both, :2], axis=1).mean()) if both.any() else 1e3
    )


def _covered(scene, joint: int, place: np.ndarray) -> bool:
    """Whether less than half of the joint's disc shows."""
    painted = skeleton_index(scene)
    y, x = np.mgrid[: painted.shape[0], : painted.shape[1]] + 0.5
    disc = np.hypot(x - place[0], y - place[1]) <= 4 * min(scene.size) / 512
    return float((painted[disc] == 18 + joint).mean()) < 0.5
