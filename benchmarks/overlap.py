"""Whose pixels a region holds: regions of skeletons against what is truly seen of drawn people.

Scenes of two people of `dolls/`, side by side, in front of each other and touching. A point belongs
to whoever has the largest region there, or to the background. `iou` is the mean intersection over
union with each person's visible mask; `iou_of_people` the same where somebody truly is, so that what
a region leaves for hair and clothes round a body does not count; `hands` the share of wrists and
elbows, of those truly seen over somebody else, that lie in their owner's region; `heads` the share of
visible head pixels that do.

`joints`: `all` as a skeleton picture has them, `seen` without those that somebody else hides, as a
good estimator gives them.
"""

from __future__ import annotations

import random
import sys

import engine
import numpy as np
import pose

HEADS = (0, 14, 15, 16, 17)


def scene_figures(scene, found: np.ndarray, truth: np.ndarray, joints: np.ndarray) -> dict:
    """found `[N,H,W]` soft regions, truth `[N,H,W]` of bool, joints `[N,18,3]` -> sums for the table."""
    owner = np.concatenate([1 - found.sum(0, keepdims=True), found]).argmax(0)
    someone = truth.any(0)
    of_people = np.where(someone, found.argmax(0) + 1, 0)
    figures: dict[str, list[float]] = {"iou": [], "iou_of_people": [], "hands": [], "heads": []}
    for number, mask in enumerate(truth, 1):
        if not mask.any():
            continue
        for name, taken in (("iou", owner == number), ("iou_of_people", of_people == number)):
            figures[name].append((taken & mask).sum() / (taken | mask).sum())
        person = scene.people[number - 1]
        left, top, right, bottom = (max(0, round(v)) for v in person.head_box)
        head = mask[top:bottom, left:right]
        if head.any():
            figures["heads"].append((owner[top:bottom, left:right] == number)[head].mean())
        for joint in (3, 4, 6, 7):
            x, y, score = joints[number - 1, joint]
            if score > 0 and mask[int(y), int(x)] and _over_another(joints, number - 1, (x, y)):
                figures["hands"].append(float(owner[int(y), int(x)] == number))
    return figures


def _over_another(joints: np.ndarray, me: int, place) -> bool:
    """Whether the place lies on another's trunk, from shoulders to hips."""
    for other in range(len(joints)):
        body = joints[other]
        trunk = body[[2, 5, 11, 8]]
        if other == me or not (trunk[:, 2] > 0).all():
            continue
        (left, top), (right, bottom) = trunk[:, :2].min(0), trunk[:, :2].max(0)
        if left <= place[0] <= right and top <= place[1] <= bottom:
            return True
    return False


def seen_only(joints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Without joints at which somebody else is seen."""
    joints = joints.copy()
    for i, body in enumerate(joints):
        for joint in body:
            x, y = int(joint[0]), int(joint[1])
            if joint[2] > 0 and truth[:, y, x].any() and not truth[i, y, x]:
                joint[:] = 0
    return joints


def measured(kind: str, scenes: int, shape, which: str) -> dict:
    from dolls.world import bodies, contact_scene, person_masks

    regions = pose.room("regions.people")
    sums: dict[str, list[float]] = {}
    for seed in range(scenes):
        scene = contact_scene(random.Random(f"{kind} {seed}"), kind)
        truth, joints = person_masks(scene), bodies(scene)
        if which == "seen":
            joints = seen_only(joints, truth)
            if min(map(pose.room("regions.body").torso_length, joints)) == 0:
                continue  # of one of them nothing is known
        found = regions.body_regions(joints, *scene.size, shape).numpy()
        for name, values in scene_figures(scene, found, truth, joints).items():
            sums.setdefault(name, []).extend(values)
    return {
        name: float(np.mean(values)) if values else float("nan") for name, values in sums.items()
    }


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "20 scenes a kind instead of 200")
    args = parser.parse_args(argv)
    pose.package("ensemble_rooms", [str(engine.ROOT / "ensemble")])
    sys.path.append(str(engine.ROOT))
    from dolls.world import KINDS

    shape = pose.room("regions.people").Shape.CAPSULE
    rows = [
        {"scene": kind, "joints": which, **measured(kind, 20 if args.quick else 200, shape, which)}
        for which in ("all", "seen")
        for kind in KINDS
    ]
    engine.report(rows, list(rows[0]), args.json)


if __name__ == "__main__":
    main()
