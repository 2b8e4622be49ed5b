"""Where the people of the identity benchmark stand: skeletons of the drawn world, in three layouts."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import engine  # noqa: F401  (puts the repository on the path)

from dolls.world import IDENTITIES, Scene, bodies, make_scene, skeleton

LAYOUTS = {"apart": None, "touching": 0.0, "overlapping": -0.4}
"""What lies between the joints of neighbours, in widths of a person; None: as the world places them,
in equal shares of the picture."""
COUNTS = ("", "", "two people, ", "three people, ", "four people, ", "five people, ")
DRAWN_COUNTS = (*COUNTS[:4], "people, ", "people, ")
"""The drawn world's vocabulary counts to three."""


@dataclass(frozen=True)
class Stage:
    """A scene without looks: how many people, where, and in which pose."""

    layout: str
    scene: Scene

    @property
    def people(self) -> int:
        return len(self.scene.people)

    @property
    def size(self) -> tuple[int, int]:
        return self.scene.size

    @property
    def heads(self) -> list[tuple[float, float, float, float]]:
        """Left, top, right, bottom in pixels."""
        return [person.head_box for person in self.scene.people]

    def pose(self) -> Any:
        """POSE_KEYPOINT."""
        from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton, write_pose_keypoint

        skeletons = tuple(Skeleton.of(body) for body in bodies(self.scene))
        return write_pose_keypoint([Pose(*self.size, skeletons)])

    def pose_picture(self):
        """IMAGE `[1,H,W,3]` for a ControlNet."""
        import numpy as np
        import torch

        return torch.from_numpy(np.asarray(skeleton(self.scene)).astype(np.float32) / 255)[None]


def stage(people: int, layout: str, side: int, seed: int) -> Stage:
    """`side`: about the shorter side in pixels. The same seed gives the same poses in each layout.
    One person has no neighbours, and stands alone."""
    rng = random.Random(1000 * people + seed)
    shape = "portrait" if people == 1 else "landscape"
    made = make_scene(rng, shape=shape, identities=range(people), scale=side / 256)
    gap = LAYOUTS[layout]
    if people == 1 or gap is None:
        return Stage("alone" if people == 1 else layout, made)
    return Stage(layout, replace(made, people=tuple(_spaced(made, gap))))


def _spaced(scene: Scene, gap: float):
    """The people moved sideways, so that `gap` widths of a person lie between them."""
    edges = [
        (min(x for x, _ in person.all_joints), max(x for x, _ in person.all_joints))
        for person in scene.people
    ]
    width = sum(right - left for left, right in edges) / len(edges)
    total = sum(right - left for left, right in edges) + gap * width * (len(edges) - 1)
    at = (scene.size[0] - total) / 2
    for person, (left, right) in zip(scene.people, edges, strict=True):
        yield _moved(person, at - left, scene.size)
        at += right - left + gap * width


def further(stage: Stage, by: float) -> Stage:
    """The people smaller by this factor, each on the ground where they stood."""
    shrunk = (_shrunk(person, by) for person in stage.scene.people)
    return replace(stage, scene=replace(stage.scene, people=tuple(shrunk)))


def _shrunk(person, by: float):
    xs, ys = zip(*person.all_joints, strict=True)
    x0, y0 = sum(xs) / len(xs), max(ys)

    def move(point):
        return point and (x0 + (point[0] - x0) * by, y0 + (point[1] - y0) * by)

    return replace(
        person, size=person.size * by, joints=tuple(map(move, person.joints)),
        all_joints=tuple(map(move, person.all_joints)),
    )  # fmt: skip


def _moved(person, by: float, size: tuple[int, int]):
    joints = tuple(None if p is None else (p[0] + by, p[1]) for p in person.joints)
    seen = tuple(p if p is None or 0 <= p[0] < size[0] else None for p in joints)
    everywhere = tuple((x + by, y) for x, y in person.all_joints)
    return replace(person, joints=seen, all_joints=everywhere)


def drawn_text(identity: int) -> str:
    """What words say of a drawn identity: nothing but a LoRA knows the rest."""
    return f"ohwx {IDENTITIES[identity].cls}"
