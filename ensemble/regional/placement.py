"""Where each person of the prompt stands: regions given, read off a pose, or laid out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from ..pose.skeleton import Pose, read_pose_keypoint
from ..prompt.order import parse_front, read_order
from ..regions.body import head_circle, torso_centre
from ..regions.depth import in_front
from ..regions.layout import Layout, lay_out
from ..regions.people import body_regions
from ..regions.rect import Rect


@dataclass(frozen=True, kw_only=True)
class PlacementRequest:
    """Who is to stand where.

    layout, feather, order: as the inputs of BreakRegionalPrompt. regions `[1 or N,H,W]` and pose (a
    POSE_KEYPOINT value) as linked, or None.
    """

    people: int
    layout: Layout = Layout.COLUMNS
    feather: float = 0.06
    order: str = ""
    regions: torch.Tensor | None = None
    pose: object = None
    thin: bool = False
    """Whether thin regions are wanted too."""


THIN = -0.05
"""In torso lengths: inside the capsules, which hold close clothes."""


@dataclass(frozen=True)
class Placement:
    """In prompt order: regions `[N,H,W]` in 0..1, and heads, in fractions of the canvas, where they
    are known."""

    regions: torch.Tensor
    heads: tuple[Rect | None, ...]
    thin: torch.Tensor | None = None
    """`[N,H,W]`: of the pose's bodies, without the margin for hair and clothes."""


def place(request: PlacementRequest) -> Placement:
    """Explicit masks win, then the pose's bodies, then the layout; `order` names who stands where
    from left to right in the last two, and with its sign + who is in front in all three. With masks
    the pose still tells where the heads are."""
    people = request.people
    standing = read_order(request.order, people)
    front = parse_front(request.order, people)
    bodies, told, canvas = _bodies(request.pose)
    if request.regions is not None:
        masks = in_front(_given(request.regions, people), front)
        heads = _heads_by_mask(bodies, canvas, masks) if canvas else (None,) * people
        return Placement(masks, heads)
    prompt_order = [standing.index(i) for i in range(people)]
    if canvas is None:
        strips = lay_out(max(people, 1), request.layout, request.feather)
        return Placement(in_front(strips[:people][prompt_order], front), (None,) * people)
    if len(bodies) != people:
        raise ValueError(
            f"Input 'pose' shows {len(bodies)} people and the prompt has {people}. Link the pose "
            f"of PoseControlInput, which can crop or repeat people, or give 'regions'."
        )
    bodies = bodies[prompt_order]
    how = {"feather": request.feather, "front": front or told[prompt_order].tolist()}
    masks = body_regions(bodies, canvas.width, canvas.height, **how)
    thin = None
    if request.thin:
        thin = body_regions(bodies, canvas.width, canvas.height, margin=THIN, **how)
    return Placement(masks, tuple(_head(body, canvas) for body in bodies), thin)


def _bodies(pose) -> tuple[np.ndarray, np.ndarray, Pose | None]:
    """`[P,18,3]` bodies of the first picture, left to right by torso centre, and how far in front
    each is said to be, `[P]`."""
    if pose is None:
        return np.zeros((0, 18, 3)), np.zeros(0), None
    canvas = read_pose_keypoint(pose)[0]
    people = [person for person in canvas.people if person.seen.any()]
    people.sort(key=lambda person: tuple(torso_centre(person.body)))
    bodies = np.array([person.body for person in people]).reshape(-1, 18, 3)
    return bodies, np.array([person.front for person in people]), canvas


def _given(regions: torch.Tensor, people: int) -> torch.Tensor:
    if regions.shape[0] not in (1, people):
        raise ValueError(
            f"Input 'regions' has {regions.shape[0]} masks and the prompt has {people} people. "
            f"Give one mask per person, in prompt order, or a single one for all."
        )
    if not torch.isfinite(regions).all():
        raise ValueError("Input 'regions' holds values that are not numbers (NaN or infinity).")
    return regions.float().clamp(0, 1).cpu().expand(people, -1, -1)


def _heads_by_mask(bodies: np.ndarray, canvas: Pose, masks: torch.Tensor):
    """Each body belongs to the mask that covers its torso's centre most; a body in no mask to
    nobody."""
    heads: list[Rect | None] = [None] * len(masks)
    if not len(bodies):
        return tuple(heads)
    height, width = masks.shape[1:]
    centres = np.array([torso_centre(body) for body in bodies])
    columns = (centres[:, 0] / canvas.width * width).astype(int).clip(0, width - 1)
    rows = (centres[:, 1] / canvas.height * height).astype(int).clip(0, height - 1)
    covered = masks.numpy()[:, rows, columns]
    for person, body in zip(*linear_sum_assignment(-covered), strict=True):
        if covered[person, body] > 0:
            heads[person] = _head(bodies[body], canvas)
    return tuple(heads)


def _head(body: np.ndarray, canvas: Pose) -> Rect | None:
    circle = head_circle(body)
    if circle is None:
        return None
    (x, y), radius = circle
    head = Rect.pixels(x - radius, y - radius, x + radius, y + radius)
    return head.as_fractions(width=canvas.width, height=canvas.height)
