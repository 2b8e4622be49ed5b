"""A body as capsules, and how far every pixel is from it in the body's own torso lengths."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch

from . import body as anatomy
from .body18 import Joint

# Radii in torso lengths: clothes included, so that a region holds what the person wears.
_TORSO, _UPPER_ARM, _FOREARM, _HAND = 0.18, 0.14, 0.11, 0.12
_THIGH, _SHIN, _FOOT, _NECK = 0.17, 0.12, 0.16, 0.14
_LEGS = (
    (Joint.R_HIP, Joint.R_KNEE, _THIGH), (Joint.L_HIP, Joint.L_KNEE, _THIGH),
    (Joint.R_KNEE, Joint.R_ANKLE, _SHIN), (Joint.L_KNEE, Joint.L_ANKLE, _SHIN), (Joint.NECK, Joint.NOSE, _NECK),
)  # fmt: skip
_HAND_REACH = 0.33  # a hand goes on behind the wrist by this part of the forearm (OpenPose's rule)
_LEG = 2.0  # hips to feet, in torso lengths


class Part(IntEnum):
    """What a capsule is of: parts of two bodies hide each other by what they are."""

    HEAD = 0
    TRUNK = 1  # and neck and legs
    R_ARM = 2  # and hand
    L_ARM = 3


ARMS = (
    (Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST, Part.R_ARM),
    (Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST, Part.L_ARM),
)


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` of the line from a to b, in pixels."""

    ax: float
    ay: float
    bx: float
    by: float
    radius: float
    part: Part = Part.TRUNK


def capsules(joints: np.ndarray, height: int) -> list[Capsule]:
    """The capsules of one `[18,3]` body in a picture `height` pixels high.

    Half bodies: a missing shoulder or hip mirrors the other one; missing hips hang one torso length
    under the neck; where a hip is seen well inside the picture but no knee, legs hang down from it.
    """
    unit = anatomy.torso_length(joints)
    xy, seen = _completed(joints, unit, height)
    made: list[Capsule] = []

    def add(a: np.ndarray, b: np.ndarray, radius: float, part: Part = Part.TRUNK) -> None:
        ends = float(a[0]), float(a[1]), float(b[0]), float(b[1])
        made.append(Capsule(*ends, radius * unit, part))

    for a, b, radius in _LEGS:
        if seen[a] and seen[b]:
            add(xy[a], xy[b], radius)
    for shoulder, elbow, wrist, arm in ARMS:
        if seen[shoulder] and seen[elbow]:
            add(xy[shoulder], xy[elbow], _UPPER_ARM, arm)
        if seen[elbow] and seen[wrist]:
            add(xy[elbow], xy[wrist], _FOREARM, arm)
        if seen[wrist]:
            reach = (xy[wrist] - xy[elbow]) * _HAND_REACH if seen[elbow] else np.zeros(2)
            add(xy[wrist], xy[wrist] + reach, _HAND, arm)
    for ankle in (Joint.R_ANKLE, Joint.L_ANKLE):
        if seen[ankle]:
            add(xy[ankle], xy[ankle], _FOOT)
    # The trunk: both sides, both ends and the middle line leave no hole between them.
    trunk = [j for j in (Joint.R_SHOULDER, Joint.R_HIP, Joint.L_HIP, Joint.L_SHOULDER) if seen[j]]
    for a, b in zip(trunk, trunk[1:] + trunk[:1], strict=True):
        add(xy[a], xy[b], _TORSO)
    if seen[Joint.NECK] and seen[Joint.R_HIP] and seen[Joint.L_HIP]:
        add(xy[Joint.NECK], (xy[Joint.R_HIP] + xy[Joint.L_HIP]) / 2, _TORSO)
    head = anatomy.head_circle(joints)
    if head is not None:
        centre, radius = head
        add(centre, centre, radius / unit, Part.HEAD)
        if seen[Joint.NECK]:
            add(centre, xy[Joint.NECK], _NECK)
    return made


def _completed(joints: np.ndarray, unit: float, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints `[18,2]` with the trunk and legs filled in where they can only be in one place."""
    xy, seen = joints[:, :2].copy(), joints[:, 2] > 0
    if not seen[Joint.NECK] and seen[Joint.R_SHOULDER] and seen[Joint.L_SHOULDER]:
        xy[Joint.NECK], seen[Joint.NECK] = (xy[Joint.R_SHOULDER] + xy[Joint.L_SHOULDER]) / 2, True
    if seen[Joint.NECK]:
        for a, b in ((Joint.R_SHOULDER, Joint.L_SHOULDER), (Joint.L_SHOULDER, Joint.R_SHOULDER)):
            if seen[a] and not seen[b]:
                xy[b], seen[b] = 2 * xy[Joint.NECK] - xy[a], True
    hips_seen = bool(seen[Joint.R_HIP] or seen[Joint.L_HIP])
    if seen[Joint.NECK] and not hips_seen:
        for hip, shoulder in ((Joint.R_HIP, Joint.R_SHOULDER), (Joint.L_HIP, Joint.L_SHOULDER)):
            if seen[shoulder]:
                # Hips are about two thirds as wide as shoulders.
                x = xy[Joint.NECK, 0] + (xy[shoulder, 0] - xy[Joint.NECK, 0]) * 0.65
                xy[hip], seen[hip] = (x, xy[Joint.NECK, 1] + unit), True
    for a, b in ((Joint.R_HIP, Joint.L_HIP), (Joint.L_HIP, Joint.R_HIP)):
        if seen[a] and not seen[b]:
            x = 2 * xy[Joint.NECK, 0] - xy[a, 0] if seen[Joint.NECK] else xy[a, 0]
            xy[b], seen[b] = (x, xy[a, 1]), True
    knees_seen = bool(seen[Joint.R_KNEE] or seen[Joint.L_KNEE])
    if hips_seen and not knees_seen and xy[[Joint.R_HIP, Joint.L_HIP], 1].min() < 0.85 * height:
        # One capsule from hip to foot: the knee stands for the whole leg.
        xy[[Joint.R_KNEE, Joint.L_KNEE]] = xy[[Joint.R_HIP, Joint.L_HIP]] + (0.0, _LEG * unit)
        seen[[Joint.R_KNEE, Joint.L_KNEE]] = True
    return xy, seen


def part_fields(bodies: np.ndarray, x: torch.Tensor, y: torch.Tensor, height: int) -> torch.Tensor:
    """Distance of every grid point to each part of each of `[N,18,3]` bodies, `[N,Part,h,w]` in
    torso lengths.

    Negative inside; infinite where a part is not seen. x `[w]` and y `[h]` are the grid's pixel
    coordinates.
    """
    fields = torch.full((len(bodies), len(Part), len(y), len(x)), torch.inf)
    for body, joints in zip(fields, bodies, strict=True):
        unit = anatomy.torso_length(joints)
        for one in capsules(joints, height):
            distance = _distance(one, x, y).div_(unit)
            torch.minimum(body[one.part], distance, out=body[one.part])
    return fields


def _distance(one: Capsule, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    ends = torch.tensor([[one.ax, one.ay, one.bx, one.by]])
    return segment_distance(ends, x, y)[0].sub_(one.radius)


def segment_distance(segments: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Distance in pixels of grid points to N segments `[N,4]` (ax, ay, bx, by), `[N,h,w]`."""
    ax, ay, bx, by = (segments[:, i, None, None] for i in range(4))
    dx, dy = bx - ax, by - ay
    length2 = (dx * dx + dy * dy).clamp_min(1e-12)
    px, py = x[None, None, :] - ax, y[None, :, None] - ay
    along = (px * (dx / length2) + py * (dy / length2)).clamp_(0, 1)
    off_x = torch.sub(px, along * dx).square_()
    off_y = along.mul_(-dy).add_(py).square_()
    return off_x.add_(off_y).sqrt_()
