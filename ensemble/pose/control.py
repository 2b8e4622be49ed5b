"""A skeleton, a photo, keypoints or nothing -> pose map, keypoints and regions for a prompt."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

import numpy as np
import torch

from ..prompt.order import parse_front, parse_order
from ..regions.layout import Layout, lay_out
from ..regions.people import Shape, body_regions
from .contact import Contact, contact_pose
from .default import MIN_HEAD, Framing, default_pose
from .depth import in_depth
from .draw import Style, draw
from .joints import pose_of, read_joints
from .people import (
    Assignment,
    Match,
    Mismatch,
    assign,
    describe,
    keep_people,
    merge_regions,
    words_needed,
)
from .size import canvas_size
from .skeleton import Pose, read_pose_keypoint

# RGB uint8 picture [H,W,3] -> the people in it.
Estimate = Callable[[np.ndarray], Pose]
_SMALLEST = 32


class Source(str, Enum):
    AUTO = "auto"
    SKELETON = "skeleton"
    PHOTO = "photo"


class Nobody(str, Enum):
    """Where no person is found in the picture."""

    ERROR = "error"
    DEFAULT = "default pose"


class NoPicture(str, Enum):
    """What stands in for a picture or keypoints that are not linked."""

    ARMS_CROSSED = "arms crossed"
    NO_POSE = "no pose"
    HUG = "hug"
    SHAKING_HANDS = "shaking hands"
    ARM_ROUND = "arm round the shoulder"
    CARRYING = "carrying a child"
    SITTING_CLOSE = "sitting close"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The node's widgets, by their names. What they mean is in the node's tooltips."""

    people: int = 0
    width: int = 0
    height: int = 0
    shape: Shape = Shape.CAPSULE
    order: str = ""
    match: Match = Match.LEFT_TO_RIGHT
    on_mismatch: Mismatch = Mismatch.ERROR
    no_picture: NoPicture = NoPicture.ARMS_CROSSED
    on_nobody: Nobody = Nobody.ERROR
    source: Source = Source.AUTO
    framing: Framing = Framing.AUTO
    style: Style = Style.OPENPOSE
    hands: bool = True
    face: bool = True
    min_score: float = 0.3
    feather: float = 0.06
    margin: float = 0.3
    joints: str = ""

    @staticmethod
    def of(**widgets: Any) -> "Options":
        """Of the widgets' values, where choices are texts."""
        kinds = {field.name: field.type for field in fields(Options)}
        return Options(**{name: kinds[name](value) for name, value in widgets.items()})  # type: ignore[operator]


@dataclass(frozen=True, eq=False, kw_only=True)
class Inputs:
    """What is linked to the node. Joints moved by hand (Options.joints) win over the keypoints, and
    these over the image; what does not win gives only the size."""

    # RGB uint8 `[H,W,3]`.
    image: np.ndarray | None = None
    # POSE_KEYPOINT.
    keypoints: Any = None
    # How many person parts the prompt has; None without a prompt.
    people: int | None = None
    # `[K,h,w]`, one per person.
    person_masks: torch.Tensor | None = None
    # `[h,w]` in 0..1 over the map, nearer is brighter.
    depth: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of what is linked; None where nothing is."""
        if self.image is not None:
            return self.image.shape[1], self.image.shape[0]
        if self.keypoints is not None:
            frame = _first_frame(self.keypoints)
            return frame.width, frame.height
        return None


@dataclass(frozen=True, eq=False)
class PoseControl:
    # RGB uint8 `[H,W,3]`.
    pose_map: np.ndarray
    pose: Pose
    # `[N,H,W]` in prompt order.
    regions: torch.Tensor
    # For people to read.
    report: str
    # Those that were left out too, in the order in which `order` counts them.
    bodies: Pose

    @property
    def people(self) -> int:
        return len(self.regions)


@dataclass(frozen=True, eq=False)
class _Found:
    """A pose on its own canvas."""

    pose: Pose
    # Where it comes from, for the report.
    origin: str
    # The map that it was read from, where it is drawn.
    drawn: np.ndarray | None = None
    # Its people are in the prompt's order, wherever they stand.
    listed: bool = False


def pose_control(options: Options, inputs: Inputs, estimate: Estimate) -> PoseControl:
    """Everything PoseControlInput gives.

    Raises ValueError naming the input where no pose can be made of it.
    """
    order = parse_order(options.order)
    wanted = options.people or inputs.people or None
    words_needed(options.match, inputs.person_masks, wanted)
    width, height = canvas_size(options.width, options.height, inputs.size)
    found = _by_hand(options, width, height) or _find(options, inputs, estimate)
    if found is not None and found.drawn is None:

        def sure(part: np.ndarray) -> np.ndarray:
            """The points that the estimator was sure of."""
            return np.where(part[:, 2:] >= options.min_score, part, 0.0)

        people = [person.changed(sure) for person in found.pose.people]
        found = replace(found, pose=found.pose.with_people(people))
    if found is not None:
        kept = keep_people(found.pose, sort=not found.listed)
        if kept.people:
            masks = inputs.person_masks if options.match is Match.BY_WORDS else None
            assignment = assign(
                kept, wanted, order=order, masks=masks, on_mismatch=options.on_mismatch
            )
            return _of_bodies(options, kept, assignment, found, width, height, inputs.depth)
        if options.on_nobody is Nobody.ERROR:
            raise ValueError(
                f"No person was found in {found.origin}. Use a picture with people in it, lower "
                "min_score, or set on_nobody to default pose."
            )
    return _without_bodies(options, wanted, order, width, height, nobody=found is not None)


def _by_hand(options: Options, width: int, height: int) -> _Found | None:
    """The bodies of the input `joints`, on the map that they are parts of; None without any."""
    bodies = read_joints(options.joints)
    if not bodies:
        return None
    return _Found(pose_of(bodies, width, height), "joints (moved by hand)", listed=True)


def _first_frame(keypoints: Any) -> Pose:
    frames = read_pose_keypoint(keypoints)
    if not frames:
        raise ValueError("pose: this POSE_KEYPOINT holds no picture at all.")
    return frames[0]


def _find(options: Options, inputs: Inputs, estimate: Estimate) -> _Found | None:
    if inputs.keypoints is not None:
        return _Found(_first_frame(inputs.keypoints), "the keypoints")
    image = inputs.image
    if image is None:
        return None
    if min(image.shape[:2]) < _SMALLEST:
        raise ValueError(
            f"image: {image.shape[1]}x{image.shape[0]} pixels are too few to find people in; "
            f"{_SMALLEST} a side are the least. Link a bigger picture, or none."
        )
    # Half of the room, which most runs without a skeleton picture never need.
    from .read import read, recognise

    drawn = options.source is Source.SKELETON or (
        options.source is Source.AUTO and recognise(image)
    )
    if drawn:
        return _Found(read(image), "the skeleton picture", image)
    return _Found(estimate(image), "the photo")


def _of_bodies(
    options: Options, pose: Pose, assignment: Assignment, found: _Found, width: int, height: int,
    depth: np.ndarray | None,
) -> PoseControl:  # fmt: skip
    fitted = pose.fitted(width, height)
    lines = [f"{len(pose.people)} bodies in {found.origin}", *describe(pose, assignment)]
    used = sorted(assignment.used)
    renumbered = Assignment(tuple(tuple(used.index(b) for b in bs) for bs in assignment.bodies))
    shown = in_depth(
        fitted.with_people([fitted.people[i] for i in used]),
        renumbered,
        parse_front(options.order, len(renumbered.bodies)),
        depth,
    )
    regions = _regions(options, shown)
    whole = len(used) == len(pose.people)
    if found.drawn is not None and whole:
        # A ready map keeps its hands and faces, which cannot be read back.
        pose_map = _cover(found.drawn, width, height)
    else:
        pose_map = draw(shown, options.style, options.hands, options.face)
        if found.drawn is not None:
            lines.append("the map was redrawn without them, and without hands and faces")
    people = merge_regions(regions, renumbered)
    return PoseControl(pose_map, shown, people, "\n".join(lines), fitted)


def _without_bodies(
    options: Options,
    wanted: int | None,
    order: tuple[int, ...],
    width: int,
    height: int,
    nobody: bool,
) -> PoseControl:
    contact = None
    if options.no_picture not in (NoPicture.ARMS_CROSSED, NoPicture.NO_POSE):
        contact = Contact(options.no_picture.value)
    wanted = wanted or (2 if contact else 1)
    why = "no person found, " if nobody else ""
    if options.no_picture is NoPicture.NO_POSE:
        regions = torch.nn.functional.interpolate(
            lay_out(wanted, Layout.COLUMNS, options.feather)[None], (height, width), mode="bilinear"
        )[0]
        black = np.zeros((height, width, 3), dtype=np.uint8)
        empty = Pose(width, height, ())
        return PoseControl(black, empty, regions, f"{why}no pose: {wanted} equal columns", empty)
    if contact:
        pose, layout = contact_pose(contact, wanted, width, height, options.framing)
    else:
        pose, layout = default_pose(wanted, width, height, options.framing)
    # These stand in prompt order already, row by row.
    assignment = assign(pose, wanted, order=order)
    pose = in_depth(pose, assignment, parse_front(options.order, wanted))
    regions = _regions(options, pose)
    lines = [
        f"{why}{wanted} people {contact.value if contact else 'with crossed arms'}, {layout.framing.value}, "
        f"in {len(layout.rows)} row{'s' if len(layout.rows) > 1 else ''}, heads {layout.head:.0f} px"
    ]
    if layout.head < MIN_HEAD:
        lines.append(f"heads under {MIN_HEAD} px come out badly: use a bigger canvas")
    if order:
        lines += describe(pose, assignment)
    pose_map = draw(pose, options.style)
    return PoseControl(pose_map, pose, merge_regions(regions, assignment), "\n".join(lines), pose)


def _regions(options: Options, pose: Pose) -> torch.Tensor:
    bodies = np.stack([person.body for person in pose.people])
    front = [person.front for person in pose.people]
    return body_regions(
        bodies, pose.width, pose.height, options.shape, options.feather, options.margin, front
    )


def _cover(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture on another canvas as Pose.fitted does it: scaled to cover, cut round the centre."""
    from PIL import Image, ImageOps

    picture = Image.fromarray(image)
    return np.asarray(ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR))
