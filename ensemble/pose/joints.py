"""Joints moved by hand: the text of the input `joints` -> bodies, and bodies -> that text.

The text is JSON, per body a list of 18 entries in the order of BODY_18: [x, y] in fractions of the
pose map, or null for a joint that is missing. Joints may lie outside the map, as feet below it do.
"""

import json

import numpy as np

from ..regions.body18 import BODY_POINTS, Joint
from .skeleton import FAR, Pose, Skeleton

MOST_BODIES = 32
_FORM = "[x, y] in parts of the picture, 0 to 1 inside it, or null where the joint is missing"
_DIGITS = 4


def read_joints(text: str) -> list[np.ndarray]:
    """Bodies `[18,3]`: x and y in parts of the map, score 1, or all 0 for a missing joint. Empty
    text is no bodies. Raises ValueError that names what is wrong and the way out."""
    if not text.strip():
        return []
    try:
        bodies = json.loads(text)
    except (ValueError, RecursionError):
        bodies = None
    if not isinstance(bodies, list):
        raise ValueError(
            f"Input 'joints': {_shown(text)} must be a JSON list with {BODY_POINTS} joints per body, "
            f"each {_FORM}. Move joints on the node writes it; empty takes the picture's pose."
        )
    if len(bodies) > MOST_BODIES:
        raise ValueError(
            f"Input 'joints' has {len(bodies)} bodies, and {MOST_BODIES} are the most; leave some out."
        )
    return [_body(body, number) for number, body in enumerate(bodies, 1)]


def _body(body: object, number: int) -> np.ndarray:
    if not isinstance(body, list) or len(body) != BODY_POINTS:
        count = f"{len(body)} joints" if isinstance(body, list) else _shown(body)
        raise ValueError(
            f"Input 'joints', body {number}: {count} must be a list of {BODY_POINTS} joints in the "
            "order of OpenPose's COCO model; write null for those that are missing."
        )
    points = np.zeros((BODY_POINTS, 3))
    for joint, value in zip(Joint, body, strict=True):
        if value is None:
            continue
        if not (
            isinstance(value, list)
            and len(value) == 2
            and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
            and all(-FAR <= v <= 1 + FAR for v in value)  # so no NaN either
        ):
            name = joint.name.lower().replace("_", " ")
            raise ValueError(
                f"Input 'joints', body {number}, joint {joint.value} ({name}): {_shown(value)} must "
                f"be {_FORM}; nothing below {-FAR:g} or above {1 + FAR:g} is taken."
            )
        points[joint] = (*value, 1.0)
    return points


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def pose_of(bodies: list[np.ndarray], width: int, height: int) -> Pose:
    """Bodies in parts of the map -> a pose in pixels of a map of `width` x `height`."""
    people = [Skeleton.of(body).moved((width, height), (0, 0)) for body in bodies]
    return Pose(width, height, tuple(people))


def write_joints(pose: Pose) -> str:
    """The bodies of a pose as read_joints takes them. Hands and faces have no place there, and what
    lies too far outside counts as missing."""
    size = np.array([pose.width, pose.height])
    bodies = []
    for person in pose.people:
        parts = person.body[:, :2] / size
        there = person.seen & ((parts >= -FAR) & (parts <= 1 + FAR)).all(axis=1)
        rounded = parts.round(_DIGITS).tolist()
        bodies.append([xy if seen else None for xy, seen in zip(rounded, there, strict=True)])
    return json.dumps(bodies, separators=(",", ":"))
