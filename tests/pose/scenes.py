"""Random people in plausible poses, and what of them can be seen once they are drawn."""

from dataclasses import dataclass

import numpy as np
from ensemble_portraits.ensemble.pose import raster
from ensemble_portraits.ensemble.pose.draw import Style, draw, sizes
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton

FIGURE = np.array([
    (0, .09), (0, .185), (-.10, .19), (-.135, .315), (-.14, .45), (.10, .19), (.135, .315),
    (.14, .45), (-.065, .50), (-.07, .72), (-.075, .93), (.065, .50), (.07, .72), (.075, .93),
    (-.022, .075), (.022, .075), (-.048, .085), (.048, .085),
])  # fmt: skip
# What an estimator loses of a person: ends of limbs, never the middle of one.
LOST = ((3, 4), (4,), (6, 7), (7,), (9, 10), (10,), (12, 13), (13,), (14, 16), (16,), (15, 17))


def figure(rng: np.random.Generator) -> np.ndarray:
    """Joints `[18,2]` of a body of height 1 round (0, 0.4), arms and legs turned at random."""
    body = FIGURE.copy()

    def bone(start: int, end: int, length: float, spread: float) -> None:
        angle = np.pi / 2 + rng.uniform(-spread, spread)
        body[end] = body[start] + length * np.array([np.cos(angle), np.sin(angle)])

    for shoulder, elbow, wrist in ((2, 3, 4), (5, 6, 7)):
        bone(shoulder, elbow, 0.15, 2.2)
        bone(elbow, wrist, 0.14, 3.0)
    for hip, knee, ankle in ((8, 9, 10), (11, 12, 13)):
        bone(hip, knee, 0.22, 1.0)
        bone(knee, ankle, 0.21, 1.0)
    turn = rng.uniform(-0.4, 0.4)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (body - (0, 0.4)) @ rotation.T


def scene(rng: np.random.Generator, width: int, height: int, people: int, apart: bool) -> Pose:
    """People anywhere on the canvas, over each other too; `apart`: side by side instead."""
    made = []
    for k in range(people):
        if apart:
            size = rng.uniform(0.6, 1.0) * min(height, width / people / 0.7)
            place = ((k + 0.5) / people * width, rng.uniform(0.4, 0.6) * height)
        else:
            size = rng.uniform(0.35, 1.1) * height
            place = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.3, 0.7) * height)
        body = np.c_[figure(rng) * size + place, np.ones(18)]
        for joints in LOST:
            if rng.random() < 0.08:
                body[list(joints)] = 0
        made.append(Skeleton.of(body))
    return Pose(width, height, tuple(made))


@dataclass(frozen=True)
class Disc:
    """A joint as painted. visible: part of its pixels in the picture that nothing covers; shown: the
    part that has its colour, be it another person's joint that lies there."""

    person: int
    joint: int
    x: int
    y: int
    visible: float
    shown: float


def discs(pose: Pose) -> list[Disc]:
    """Every joint whose middle lies in the picture, worked out from the painting order alone."""
    radius = sizes(pose.width, pose.height, Style.OPENPOSE)[1]
    owner = np.full((pose.height, pose.width), -1)
    stamps = {}
    for k, person in enumerate(pose.people):
        owner[draw(pose.with_people([person])).any(axis=-1)] = -1
        for joint in np.flatnonzero(person.seen):
            x, y = np.trunc(person.body[joint, :2]).astype(int)
            pixels = raster.discs(np.array([[x, y]]), radius, pose.height, pose.width)
            owner[pixels.y, pixels.x] = 18 * k + joint
            stamps[k, int(joint)] = (int(x), int(y), pixels)
    found = []
    for (k, joint), (x, y, pixels) in stamps.items():
        if 0 <= x < pose.width and 0 <= y < pose.height:
            there = owner[pixels.y, pixels.x]
            visible = float((there == 18 * k + joint).mean())
            shown = float(((there >= 0) & (there % 18 == joint)).mean())
            found.append(Disc(k, joint, x, y, visible, shown))
    return found


def doubles(rng: np.random.Generator, width: int, height: int) -> Pose:
    """Two people whose joints lie on or near each other's, each kind a few pixels apart."""
    one = scene(rng, width, height, 1, apart=True).people[0].body
    reach = 3 * sizes(width, height, Style.OPENPOSE)[1]
    two = np.where(one[:, 2:] > 0, one + np.c_[rng.uniform(-reach, reach, (18, 2)), [0] * 18], 0)
    return Pose(width, height, (Skeleton.of(one), Skeleton.of(two)))
