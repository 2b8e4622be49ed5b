"""How far in front each body of a pose is: what the prompt's order says, and a depth map."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..regions.body18 import Joint
from .people import Assignment
from .skeleton import Pose, Skeleton

_TRUNK = (Joint.NECK, Joint.R_SHOULDER, Joint.L_SHOULDER, Joint.R_HIP, Joint.L_HIP)
# Bodies nearer to each other than this part of the map's range are told apart by how they stand.
_STEP = 0.05


def in_depth(
    pose: Pose,
    assignment: Assignment,
    said: Sequence[float] | None = None,
    depth: np.ndarray | None = None,
) -> Pose:
    """The pose with everybody's `front`. said: a number for each person of the assignment, which
    wins over depth, a map `[h,w]` in 0..1 over the canvas, nearer is brighter; where neither is, the
    bodies keep what they have."""
    people = list(pose.people)
    if depth is not None:
        people = [replace(p, front=_front_in(depth, pose, p)) for p in people]
    if said is not None:
        # What a depth map says is under 1, so that it tells those apart of whom the same is said.
        people = [replace(p, front=p.front % 1) for p in people]
        for number, bodies in enumerate(assignment.bodies):
            for body in bodies:
                people[body] = replace(people[body], front=people[body].front + said[number])
    return pose.with_people(people)


def _front_in(depth: np.ndarray, pose: Pose, person: Skeleton) -> float:
    """The median over the trunk's joints in the picture, 0 to under 1, in steps."""
    joints = [j for j in _TRUNK if person.body[j, 2] > 0] or np.flatnonzero(person.seen).tolist()
    height, width = depth.shape
    at = person.body[joints, :2] / (pose.width, pose.height) * (width, height)
    inside = at[((at >= 0) & (at < (width, height))).all(axis=1)].astype(int)
    if not len(inside):
        return 0.0
    level = float(np.median(depth[inside[:, 1], inside[:, 0]]))
    return min(round(level / _STEP) * _STEP, 1 - _STEP)
