"""Scenes of people who touch or stand in front of each other, as `make_scene` never has them.

Who is nearer stands lower in the picture, is a little bigger, and is painted later.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from .people import Person
from .poses import Joint, Point, reach
from .scenes import Scene, make_scene, visible_joints

Place = Callable[[Person], Point]


def contact_scene(
    rng: random.Random, kind: str, shape: str = "square", scale: float = 1.0,
    identities: Sequence[int | None] | None = None,
) -> Scene:  # fmt: skip
    """A scene of two people; kind: a name of KINDS. identities, scale: as of make_scene."""
    scene = make_scene(rng, count=2, shape=shape, identities=identities, scale=scale)
    if kind == "side by side":
        return scene
    apart, arms = KINDS[kind]
    far, near = scene.people if rng.random() < 0.5 else scene.people[::-1]
    side = 1 if rng.random() < 0.5 else -1  # of the nearer one, as seen
    width, height = scene.size
    tall = 0.8 * height
    far = _standing(far, (width / 2, 0.93 * height), tall * (0.72 if far.is_child else 1.0))
    tall *= rng.uniform(1.0, 1.08) * (0.72 if near.is_child else 1.0)
    distance = rng.uniform(*apart) * (far.size + near.size) / 2
    middle = width / 2 - side * distance / 2
    far = _moved(far, middle - width / 2, 0.0)
    near = _standing(near, (middle + side * distance, rng.uniform(0.955, 0.985) * height), tall)
    far, near, over = arms(rng, far, near, side)
    people = tuple(replace(p, joints=visible_joints(p, scene.size)) for p in (far, near))
    return replace(scene, people=people, arms_over=over)


def _standing(person: Person, feet: Point, size: float) -> Person:
    """The person as tall as `size`, feet there."""
    scale = size / person.size
    middle = (person.all_joints[Joint.R_HIP][0] + person.all_joints[Joint.L_HIP][0]) / 2
    ground = max(person.all_joints[j][1] for j in (Joint.R_ANKLE, Joint.L_ANKLE))
    joints = tuple(
        (feet[0] + (x - middle) * scale, feet[1] + (y - ground) * scale)
        for x, y in person.all_joints
    )
    return replace(person, size=size, all_joints=joints)


def _moved(person: Person, x: float, y: float) -> Person:
    joints = tuple((px + x, py + y) for px, py in person.all_joints)
    return replace(person, all_joints=joints)


def _arm(person: Person, right: bool, hand: Point) -> Person:
    """With the hand at that place or as far towards it as the arm goes; its elbow outwards."""
    shoulder = Joint.R_SHOULDER if right else Joint.L_SHOULDER
    bone = (0.1225 if person.is_child else 0.15) * person.size
    joints = list(person.all_joints)
    elbow = reach(joints[shoulder], hand, bone, bone, 1 if right else -1)
    joints[shoulder + 1 : shoulder + 3] = elbow
    return replace(person, all_joints=tuple(joints))


def _no_arms(rng: random.Random, far: Person, near: Person, side: int):
    return far, near, ()


def _hand_on(rng: random.Random, far: Person, near: Person, side: int):
    """The farther one lays a hand on the nearer one's shoulder, chest or waist."""
    j = near.all_joints
    shoulder = j[Joint.R_SHOULDER if side > 0 else Joint.L_SHOULDER]
    chest, waist = j[Joint.NECK], j[Joint.R_HIP if side > 0 else Joint.L_HIP]
    x, y = rng.choice((shoulder, (chest[0], chest[1] + 0.12 * near.size), waist))
    return _arm(far, side < 0, (x, y)), near, (0,)


def _hug(rng: random.Random, far: Person, near: Person, side: int):
    """Both lay both hands on the other's back and waist; the farther one's arms go round in front."""
    for right in (True, False):
        x, y = near.all_joints[Joint.NECK]
        low = rng.uniform(0.1, 0.26)
        far = _arm(far, right, (x + (0.03 if right else -0.03) * near.size, y + low * near.size))
        x, y = far.all_joints[Joint.NECK]
        near = _arm(near, right, (x, y + rng.uniform(0.1, 0.26) * far.size))
    return far, near, (0,)


def _hold(rng: random.Random, far: Person, near: Person, side: int):
    """The hands between them meet."""
    inner = Joint.L_SHOULDER if side > 0 else Joint.R_SHOULDER
    outer = Joint.R_SHOULDER if side > 0 else Joint.L_SHOULDER
    (x0, y0), (x1, y1) = far.all_joints[inner], near.all_joints[outer]
    hand = (x0 + x1) / 2, max(y0, y1) + 0.2 * min(far.size, near.size)
    return _arm(far, side < 0, hand), _arm(near, side > 0, hand), ()


# How far their middles are apart, in body heights, and what their arms do.
KINDS: dict[str, tuple[Sequence[float], Callable]] = {
    "side by side": ((0.0, 0.0), _no_arms),
    "one in front": ((0.06, 0.2), _no_arms),
    "holding hands": ((0.24, 0.34), _hold),
    "hand on the other": ((0.16, 0.3), _hand_on),
    "hug": ((0.12, 0.2), _hug),
}
