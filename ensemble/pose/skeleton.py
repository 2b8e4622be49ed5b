"""The skeleton of a person and the pose of a picture, and POSE_KEYPOINT in and out.

Coordinates are pixels, x to the right and y down; a joint with score 0 is missing.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..regions.body18 import BODY_POINTS

# Pairs of joints in the order ControlNet's maps paint them; limb i has colour i.
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
HAND_EDGES = tuple(
    (0 if step == 0 else 4 * finger + step, 4 * finger + step + 1)
    for finger in range(5)
    for step in range(4)
)
FACE_POINTS, HAND_POINTS, FOOT_POINTS = 70, 21, 6
# The parts of a person in POSE_KEYPOINT, and how many points each has.
_PARTS = (
    ("pose_keypoints_2d", BODY_POINTS), ("face_keypoints_2d", FACE_POINTS),
    ("hand_left_keypoints_2d", HAND_POINTS), ("hand_right_keypoints_2d", HAND_POINTS),
)  # fmt: skip
_FRONT = "front"
# BODY_25 holds the middle of the hips at 8 and the feet at 19 to 24; this picks BODY_18 out of it.
_FROM_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
# A joint farther outside the picture than this many pictures is a broken number, not a person.
FAR = 2.0


@dataclass(frozen=True, eq=False)
class Skeleton:
    """One person. Each array is `[points,3]`: x, y in pixels, score 0..1; score 0 means missing.
    front: how far in front of the others, where that is known; larger is nearer."""

    body: np.ndarray
    face: np.ndarray
    left_hand: np.ndarray
    right_hand: np.ndarray
    front: float = 0.0

    @staticmethod
    def of(
        body: np.ndarray,
        face: np.ndarray | None = None,
        left_hand: np.ndarray | None = None,
        right_hand: np.ndarray | None = None,
    ) -> "Skeleton":
        """A skeleton from `[18,3]` joints; what is not given is missing."""
        return Skeleton(
            np.asarray(body, dtype=np.float64),
            np.zeros((FACE_POINTS, 3)) if face is None else face,
            np.zeros((HAND_POINTS, 3)) if left_hand is None else left_hand,
            np.zeros((HAND_POINTS, 3)) if right_hand is None else right_hand,
        )

    @property
    def seen(self) -> np.ndarray:
        """Which of the 18 joints are there, `[18]` of bool."""
        return self.body[:, 2] > 0

    def moved(self, scale: tuple[float, float], shift: tuple[float, float]) -> "Skeleton":
        """Every point at `point * scale + shift`; missing ones stay zero."""
        return self.changed(
            lambda part: np.where(
                part[:, 2:] > 0, np.c_[part[:, :2] * scale + np.array(shift), part[:, 2:]], 0.0
            )
        )

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """In the order of _PARTS."""
        return self.body, self.face, self.left_hand, self.right_hand

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> "Skeleton":
        return Skeleton(*map(change, self.parts), front=self.front)


@dataclass(frozen=True, eq=False)
class Pose:
    """All people of one picture of `width` x `height` pixels."""

    width: int
    height: int
    people: tuple[Skeleton, ...]

    def fitted(self, width: int, height: int) -> "Pose":
        """The pose on another canvas: scaled to cover it and cut round its centre, as core does."""
        scale = max(width / self.width, height / self.height)
        shift = ((width - self.width * scale) / 2, (height - self.height * scale) / 2)
        people = tuple(person.moved((scale, scale), shift) for person in self.people)
        return Pose(width, height, people)

    def with_people(self, people: Sequence[Skeleton]) -> "Pose":
        return replace(self, people=tuple(people))


def read_pose_keypoint(value: Any) -> list[Pose]:
    """POSE_KEYPOINT -> one Pose per picture.

    Takes a list of frames, one frame, or their JSON text; BODY_18 or BODY_25; pixels or fractions;
    faces and hands of any length or None. A joint without score, with a score of 0, with a
    coordinate that is not a number, or far outside the picture is missing.

    Raises ValueError where the value has no such form, or holds animals.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"pose: this text is not JSON ({error}).") from error
    frames = [value] if isinstance(value, Mapping) else value
    if not isinstance(frames, Sequence) or not all(isinstance(f, Mapping) for f in frames):
        raise ValueError(
            "pose: expected POSE_KEYPOINT, a list of {canvas_width, canvas_height, people}, "
            f"not {type(value).__name__}."
        )
    return [_read_frame(frame) for frame in frames]


def write_pose_keypoint(poses: Sequence[Pose]) -> list[dict[str, Any]]:
    """Poses -> POSE_KEYPOINT in absolute pixels, every array at full length, zeros for missing."""
    return [
        {
            "canvas_width": pose.width,
            "canvas_height": pose.height,
            "people": [
                {
                    "foot_keypoints_2d": [0.0] * (3 * FOOT_POINTS),
                    **{
                        key: _pad(part, count).ravel().tolist()
                        for (key, count), part in zip(_PARTS, person.parts, strict=True)
                    },
                    # A key of ours, which other readers leave alone.
                    **({_FRONT: person.front} if person.front else {}),
                }
                for person in pose.people
            ],
        }
        for pose in poses
    ]


def _read_frame(frame: Mapping[str, Any]) -> Pose:
    if "animals" in frame:
        raise ValueError(
            "pose: this POSE_KEYPOINT holds animals; only people's skeletons are read."
        )
    try:
        width, height = int(frame["canvas_width"]), int(frame["canvas_height"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("pose: canvas_width and canvas_height must be whole numbers.") from error
    if width < 1 or height < 1:
        raise ValueError(f"pose: a canvas of {width}x{height} pixels has no room for a pose.")
    raw = [_read_person(person) for person in frame.get("people") or ()]
    # Older writers give fractions of the canvas: then no coordinate of the frame exceeds 1.
    numbers = np.concatenate(
        [p[p[:, 2] > 0, :2] for person in raw for p in person] or [np.ones((0, 2))]
    )
    fractions = len(numbers) > 0 and bool((np.abs(numbers) <= 1.0).all())
    size = np.array([width, height], dtype=np.float64)
    people = []
    for parts, person in zip(raw, frame.get("people") or (), strict=True):
        scaled = [np.c_[p[:, :2] * size, p[:, 2:]] if fractions else p for p in parts]
        body, face, left, right = (_without_far_points(p, size) for p in scaled)
        people.append(Skeleton(body, face, left, right, _front(person.get(_FRONT))))
    return Pose(width, height, tuple(people))


def _front(value: Any) -> float:
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else 0.0


def _without_far_points(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    near = (np.abs(points[:, :2] - size / 2) <= size * (FAR + 0.5)).all(axis=1, keepdims=True)
    return np.where(near, points, 0.0)


def _read_person(person: Any) -> list[np.ndarray]:
    if not isinstance(person, Mapping):
        raise ValueError(
            f"pose: a person must be an object with pose_keypoints_2d, not {person!r}."
        )
    body, *others = (_triples(person.get(key), key) for key, _ in _PARTS)
    if len(body) == 25:
        body = body[list(_FROM_BODY_25)]
    elif len(body) not in (0, BODY_POINTS):
        raise ValueError(
            f"pose: pose_keypoints_2d holds {len(body)} joints; "
            "18 (BODY_18) or 25 (BODY_25) are read."
        )
    return [_pad(part, count) for part, (_, count) in zip((body, *others), _PARTS, strict=True)]


def _pad(points: np.ndarray, count: int) -> np.ndarray:
    full = np.zeros((count, 3))
    full[: len(points)] = points[:count]
    return full


def _triples(flat: Any, key: str) -> np.ndarray:
    """A flat list of x, y, score -> `[n,3]`; a missing point is all zeros."""
    if not flat:
        return np.zeros((0, 3))
    try:
        numbers = np.array([np.nan if v is None else v for v in flat], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"pose: {key} must be a flat list of numbers.") from error
    if numbers.ndim != 1 or len(numbers) % 3:
        raise ValueError(f"pose: {key} has {numbers.size} numbers; x, y and score go in threes.")
    points = numbers.reshape(-1, 3)
    # (0, 0) is how most writers mark a missing point, whatever the score; core SDPose uses -1, -1.
    there = np.isfinite(points).all(axis=1) & (points[:, 2] > 0)
    there &= (points[:, :2] != 0).any(axis=1) & ~(points[:, :2] == -1).all(axis=1)
    return np.where(there[:, None], points, 0.0)
