"""Where the joints of a body lie. Body units: feet at y = 0, crown at y = -1, x to the right of the
picture; a person's right is on the left as seen."""

import math
import random
from enum import IntEnum

Point = tuple[float, float]
Limb = tuple[Point, Point, Point]


class Joint(IntEnum):
    """OpenPose's BODY_18, and the middle of the head, which only the painter needs."""

    NOSE = 0
    NECK = 1
    R_SHOULDER = 2
    R_ELBOW = 3
    R_WRIST = 4
    L_SHOULDER = 5
    L_ELBOW = 6
    L_WRIST = 7
    R_HIP = 8
    R_KNEE = 9
    R_ANKLE = 10
    L_HIP = 11
    L_KNEE = 12
    L_ANKLE = 13
    R_EYE = 14
    L_EYE = 15
    R_EAR = 16
    L_EAR = 17
    HEAD = 18


_SHOULDERS = {"man": 0.118, "woman": 0.094, "boy": 0.09, "girl": 0.084}
_LEGS = (Joint.R_KNEE, Joint.R_ANKLE, Joint.L_KNEE, Joint.L_ANKLE)


def reach(
    start: Point, target: Point, upper: float, lower: float, bend: int
) -> tuple[Point, Point]:
    """Elbow and wrist of two bones from `start` towards `target`; bend 1 or -1 picks the elbow's
    side (law of cosines)."""
    dx, dy = target[0] - start[0], target[1] - start[1]
    distance = min(max(math.hypot(dx, dy), abs(upper - lower) + 1e-3), upper + lower - 1e-3)
    towards = math.atan2(dy, dx)
    cosine = (upper * upper + distance * distance - lower * lower) / (2 * upper * distance)
    angle = towards + bend * math.acos(cosine)
    elbow = start[0] + upper * math.cos(angle), start[1] + upper * math.sin(angle)
    wrist = start[0] + distance * math.cos(towards), start[1] + distance * math.sin(towards)
    return elbow, wrist


def pose_body(
    rng: random.Random, cls: str, pose: str, child: bool, head_radius: float, look: Point
) -> list[Point]:
    """19 joints in Joint's order. look: turn and tilt of the head."""
    neck, hips = -(1 - 2 * head_radius - 0.03), -0.36 if child else -0.43
    legs = {side: _leg(rng, side, hips, pose == "sitting") for side in (-1, 1)}
    arms = _arms(rng, _SHOULDERS[cls], (neck, hips), pose, child)
    head, face = _head(head_radius, *look)
    joints = [face[0], (0.0, neck), *arms[-1], *arms[1], *legs[-1], *legs[1], *face[1:], head]
    lean = rng.uniform(-0.05, 0.05)  # of the upper body about the hips
    leant = [(x if i in _LEGS else x - lean * (y - hips), y) for i, (x, y) in enumerate(joints)]
    ground = max(leant[Joint.R_ANKLE][1], leant[Joint.L_ANKLE][1]) + 0.045
    return [(x, y - ground) for x, y in leant]


def _leg(rng: random.Random, side: int, hips: float, sits: bool) -> Limb:
    thigh = (-hips - 0.045) * 0.5
    hip = (side * 0.052, hips)
    if sits:
        knee = (hip[0] + side * rng.uniform(0.05, 0.085), hips + thigh * 0.38)
        return hip, knee, (knee[0] + side * rng.uniform(-0.03, 0.01), knee[1] + thigh)
    angle = rng.uniform(-0.03, 0.2)
    knee = (hip[0] + side * math.sin(angle) * thigh, hips + math.cos(angle) * thigh)
    angle = angle + rng.uniform(-0.1, 0.1)
    return hip, knee, (knee[0] + side * math.sin(angle) * thigh, knee[1] + math.cos(angle) * thigh)


def _arms(
    rng: random.Random, shoulders: float, trunk: tuple[float, float], pose: str, child: bool
) -> dict[int, Limb]:
    """Both arms by side; trunk: y of neck and hips."""
    pick, waving = rng.random(), rng.choice((-1, 1))
    upper, lower = (0.125, 0.12) if child else (0.152, 0.148)
    arms: dict[int, Limb] = {}
    for side in (-1, 1):
        shoulder = (side * shoulders, trunk[0] + 0.012)
        first, second = rng.uniform(0.12, 0.42), rng.uniform(0.0, 0.35)
        if pose == "arms up":
            first, second = rng.uniform(2.1, 2.65), rng.uniform(2.6, 3.3)
        elif pose == "waving" and side == waving:
            first, second = rng.uniform(1.5, 2.1), rng.uniform(2.7, 3.3)
        elif pose == "standing" and pick > 0.75:
            first = rng.uniform(0.1, 2.4)
            second = first + rng.uniform(-0.7, 1.0)
        target = _hand(side, trunk, pose, pick, side == waving)
        if target is not None:
            arms[side] = (shoulder, *reach(shoulder, target, upper, lower, -side))
            continue
        elbow = _along(shoulder, side, first, upper)
        arms[side] = (shoulder, elbow, _along(elbow, side, second, lower))
    return arms


def _hand(
    side: int, trunk: tuple[float, float], pose: str, pick: float, other: bool
) -> Point | None:
    """Where a hand rests, if it does."""
    neck, hips = trunk
    if pose == "arms crossed":
        return -side * 0.055, neck + 0.148 + 0.03 * other
    if pose == "sitting" and pick < 0.6:
        return side * 0.08, hips + 0.02
    if pose == "standing" and pick < 0.25:
        return side * 0.082, hips - 0.02
    return None


def _along(start: Point, side: int, angle: float, length: float) -> Point:
    """`angle` 0 hangs down, pi points up, outwards between."""
    return start[0] + side * math.sin(angle) * length, start[1] + math.cos(angle) * length


def _head(radius: float, turn: float, tilt: float) -> tuple[Point, list[Point]]:
    """Its middle; then nose, eyes and ears. The head turns, and tilts about the chin."""
    y = -(1 - radius)
    nose = (turn * 0.35 * radius, y + 0.16 * radius)
    eyes = [(nose[0] + k * 0.36 * radius, y - 0.08 * radius) for k in (-1, 1)]
    ears = [(k * 0.95 * radius - turn * 0.12 * radius, y + 0.05 * radius) for k in (-1, 1)]
    cosine, sine = math.cos(tilt), math.sin(tilt)
    chin = y + radius

    def tilted(point: Point) -> Point:
        x, up = point[0], point[1] - chin
        return cosine * x - sine * up, chin + sine * x + cosine * up

    return tilted((0.0, y)), [tilted(point) for point in (nose, *eyes, *ears)]
