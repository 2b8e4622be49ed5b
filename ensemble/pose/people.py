"""Which body of a pose is which person of the prompt."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import torch

from ..regions.body import real_people, torso_centre, torso_length
from .skeleton import Pose


class Mismatch(str, Enum):
    """What to do where the picture shows more or fewer bodies than the prompt has people."""

    ERROR = "error"
    CROP = "crop"
    REPEAT = "repeat"
    # As crop, and who is left without a body stays in the prompt and is not painted.
    LARGEST = "largest"


class Match(str, Enum):
    LEFT_TO_RIGHT = "left to right"
    BY_WORDS = "by words"


@dataclass(frozen=True)
class Assignment:
    """`bodies[k]` are the indices of the pose's people that are person k of the prompt; none for
    somebody who is not painted."""

    bodies: tuple[tuple[int, ...], ...]

    @property
    def used(self) -> set[int]:
        return {body for bodies in self.bodies for body in bodies}


def keep_people(pose: Pose, sort: bool = True) -> Pose:
    """The pose without fragments, second detections and people outside the picture, left to right
    by the middle of the torso, higher ones first where that is equal; as they come without `sort`."""
    size = np.array([pose.width, pose.height])

    def inside(body: np.ndarray) -> bool:
        there = (body[:, 2] > 0) & ((body[:, :2] >= 0) & (body[:, :2] < size)).all(axis=1)
        return bool(there.any())

    shown = [person for person in pose.people if inside(person.body)]
    kept = [shown[i] for i in real_people([p.body for p in shown], pose.width, pose.height)]
    if sort:
        kept = sorted(kept, key=lambda person: tuple(torso_centre(person.body)))
    return pose.with_people(kept)


def assign(
    pose: Pose,
    wanted: int | None,
    *,
    order: tuple[int, ...] = (),
    masks: torch.Tensor | None = None,
    on_mismatch: Mismatch = Mismatch.ERROR,
) -> Assignment:
    """Assign every person of the prompt a body of the pose, whose people stand left to right.

    wanted: people in the prompt, None for as many as there are bodies. order: see prompt.order.parse_order; it
    wins over masks `[K,h,w]`, one per person, which wins over left to right. ValueError names both
    numbers where they differ and on_mismatch is `error`.
    """
    bodies = len(pose.people)
    if order:
        return _by_order(bodies, wanted, order)
    line = list(range(bodies)) if masks is None else _by_masks(pose, masks)
    wanted = len(line) if wanted is None else wanted
    if len(line) == wanted:
        return Assignment(tuple((body,) for body in line))
    if on_mismatch is Mismatch.ERROR:
        raise ValueError(
            f"The picture shows {len(line)} people and the prompt has {wanted}. Set on_mismatch to "
            "crop (the smaller number counts), repeat (bodies or people take turns) or largest "
            "(as crop; who has no body is not painted), say in "
            'order who stands where, like "2,0,1", or give another picture or prompt.'
        )
    if on_mismatch is not Mismatch.REPEAT:
        if masks is None and len(line) > wanted:
            line = _biggest(pose, wanted)
        bodies_of = tuple((body,) for body in line[:wanted])
        if on_mismatch is Mismatch.LARGEST:
            bodies_of += ((),) * (wanted - len(bodies_of))
        return Assignment(bodies_of)
    if len(line) < wanted:
        return Assignment(tuple((line[k % len(line)],) for k in range(wanted)))
    return Assignment(tuple(tuple(line[k::wanted]) for k in range(wanted)))


def _by_order(bodies: int, wanted: int | None, order: tuple[int, ...]) -> Assignment:
    if len(order) != bodies:
        raise ValueError(
            f"order: names {len(order)} places, and the picture shows {bodies} people; name one "
            "person for each of them, from left to right, 0 for nobody."
        )
    people = max(order)
    if wanted not in (None, people) or not people:
        raise ValueError(
            f"order: names {people} people and the prompt has {wanted or 0}; name each of them once."
        )
    return Assignment(tuple((order.index(person),) for person in range(1, people + 1)))


def _biggest(pose: Pose, count: int) -> list[int]:
    """The `count` biggest bodies, still left to right: passers-by in the distance go first."""
    size = [torso_length(person.body) for person in pose.people]
    return sorted(sorted(range(len(size)), key=lambda i: -size[i])[:count])


def _by_masks(pose: Pose, masks: torch.Tensor) -> list[int]:
    """Bodies in prompt order by how much of each body's joints lie in each person's mask.

    Bodies that no mask is left for come last, left to right.
    """
    from scipy.optimize import linear_sum_assignment

    share = np.array([[_share(mask, pose, i) for i in range(len(pose.people))] for mask in masks])
    rows, columns = linear_sum_assignment(-share)
    line = [int(column) for _, column in sorted(zip(rows, columns, strict=True))]
    return line + [i for i in range(len(pose.people)) if i not in line]


def _share(mask: torch.Tensor, pose: Pose, index: int) -> float:
    person = pose.people[index]
    height, width = mask.shape
    xy = person.body[person.seen, :2] / (pose.width, pose.height) * (width, height)
    inside = ((xy >= 0) & (xy < (width, height))).all(axis=1)
    x, y = xy[inside].astype(int).T
    return float(mask[y, x].mean()) if len(x) else 0.0


def describe(pose: Pose, assignment: Assignment) -> list[str]:
    """One line per person of the prompt: which body, and where it stands."""
    lines = []
    x = [float(torso_centre(person.body)[0]) for person in pose.people]
    across = np.argsort(x, kind="stable").tolist()
    for k, bodies in enumerate(assignment.bodies, start=1):
        places = [
            f"body {across.index(i) + 1} from the left, at {100 * x[i] / pose.width:.0f} % of the width"
            for i in bodies
        ]
        lines.append(f"person {k}: " + (" and ".join(places) or "no body, not painted"))
    left_out = [i + 1 for i in range(len(pose.people)) if i not in assignment.used]
    if left_out:
        lines.append("left out: " + ", ".join(f"body {i}" for i in left_out))
    return lines


def merge_regions(regions: torch.Tensor, assignment: Assignment) -> torch.Tensor:
    """Regions of bodies `[N,H,W]` -> of people `[K,H,W]`.

    A person with several bodies has all their regions; people who share a body share its region.
    """
    takers = [sum(body in bodies for bodies in assignment.bodies) for body in range(len(regions))]
    people = [
        torch.stack([regions[body] / takers[body] for body in bodies]).sum(dim=0)
        if bodies
        else torch.zeros_like(regions[0])
        for bodies in assignment.bodies
    ]
    return torch.stack(people)


def words_needed(match: Match, masks: torch.Tensor | None, wanted: int | None) -> None:
    """ValueError where matching by words has nothing to go by."""
    if match is not Match.BY_WORDS:
        return
    if masks is None:
        raise ValueError(
            "match: by words needs person_masks: one mask per person in prompt order, such as Mask "
            'from Prompt with "woman" and with "man" through Batch Masks. Or set match to left to '
            "right, and order where that is wrong."
        )
    if wanted is not None and len(masks) != wanted:
        raise ValueError(
            f"person_masks: {len(masks)} masks were given for {wanted} people; one each is needed."
        )
