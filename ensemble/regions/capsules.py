"""A body as capsules, and how far every pixel is from it in the body's own torso lengths."""

from dataclasses import dataclass

import numpy as np
import torch

from . import body as anatomy
from .body import (
    L_ANKLE,
    L_ELBOW,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    NECK,
    NOSE,
    R_ANKLE,
    R_ELBOW,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
)

# Radii in torso lengths: clothes included, so that a region holds what the person wears.
_TORSO, _UPPER_ARM, _FOREARM, _HAND, _THIGH, _SHIN, _NECK = 0.18, 0.14, 0.11, 0.16, 0.17, 0.12, 0.14
_LIMBS = (
    (R_SHOULDER, R_ELBOW, _UPPER_ARM), (L_SHOULDER, L_ELBOW, _UPPER_ARM),
    (R_ELBOW, R_WRIST, _FOREARM), (L_ELBOW, L_WRIST, _FOREARM),
    (R_HIP, R_KNEE, _THIGH), (L_HIP, L_KNEE, _THIGH),
    (R_KNEE, R_ANKLE, _SHIN), (L_KNEE, L_ANKLE, _SHIN), (NECK, NOSE, _NECK),
)  # fmt: skip
_HAND_REACH = 0.33  # a hand goes on behind the wrist by this part of the forearm (OpenPose's rule)
_LEG = 2.0  # hips to feet, in torso lengths


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` of the line from a to b, in pixels."""

    ax: float
    ay: float
    bx: float
    by: float
    radius: float


def capsules(joints: np.ndarray, height: int) -> list[Capsule]:
    """The capsules of one `[18,3]` body in a picture `height` pixels high.

    Half bodies: a missing shoulder or hip mirrors the other one; missing hips hang one torso length
    under the neck; where a hip is seen well inside the picture but no knee, legs hang down from it.
    """
    unit = anatomy.torso_length(joints)
    xy, seen = _completed(joints, unit, height)
    made: list[Capsule] = []

    def add(a: np.ndarray, b: np.ndarray, radius: float) -> None:
        made.append(Capsule(float(a[0]), float(a[1]), float(b[0]), float(b[1]), radius * unit))

    for a, b, radius in _LIMBS:
        if seen[a] and seen[b]:
            add(xy[a], xy[b], radius)
    for elbow, wrist in ((R_ELBOW, R_WRIST), (L_ELBOW, L_WRIST)):
        if seen[wrist]:
            reach = (xy[wrist] - xy[elbow]) * _HAND_REACH if seen[elbow] else np.zeros(2)
            add(xy[wrist], xy[wrist] + reach, _HAND)
    for ankle in (R_ANKLE, L_ANKLE):
        if seen[ankle]:
            add(xy[ankle], xy[ankle], _HAND)
    # The trunk: both sides, both ends and the middle line leave no hole between them.
    trunk = [j for j in (R_SHOULDER, R_HIP, L_HIP, L_SHOULDER) if seen[j]]
    for a, b in zip(trunk, trunk[1:] + trunk[:1], strict=True):
        add(xy[a], xy[b], _TORSO)
    if seen[NECK] and seen[R_HIP] and seen[L_HIP]:
        add(xy[NECK], (xy[R_HIP] + xy[L_HIP]) / 2, _TORSO)
    head = anatomy.head_circle(joints)
    if head is not None:
        centre, radius = head
        add(centre, centre, radius / unit)
        if seen[NECK]:
            add(centre, xy[NECK], _NECK)
    return made


def _completed(joints: np.ndarray, unit: float, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Joints `[18,2]` with the trunk and legs filled in where they can only be in one place."""
    xy, seen = joints[:, :2].copy(), joints[:, 2] > 0
    if not seen[NECK] and seen[R_SHOULDER] and seen[L_SHOULDER]:
        xy[NECK], seen[NECK] = (xy[R_SHOULDER] + xy[L_SHOULDER]) / 2, True
    if seen[NECK]:
        for a, b in ((R_SHOULDER, L_SHOULDER), (L_SHOULDER, R_SHOULDER)):
            if seen[a] and not seen[b]:
                xy[b], seen[b] = 2 * xy[NECK] - xy[a], True
    hips_seen = bool(seen[R_HIP] or seen[L_HIP])
    if seen[NECK] and not hips_seen:
        for hip, shoulder in ((R_HIP, R_SHOULDER), (L_HIP, L_SHOULDER)):
            if seen[shoulder]:
                # Hips are about two thirds as wide as shoulders.
                x = xy[NECK, 0] + (xy[shoulder, 0] - xy[NECK, 0]) * 0.65
                xy[hip], seen[hip] = (x, xy[NECK, 1] + unit), True
    for a, b in ((R_HIP, L_HIP), (L_HIP, R_HIP)):
        if seen[a] and not seen[b]:
            x = 2 * xy[NECK, 0] - xy[a, 0] if seen[NECK] else xy[a, 0]
            xy[b], seen[b] = (x, xy[a, 1]), True
    knees_seen = bool(seen[R_KNEE] or seen[L_KNEE])
    if hips_seen and not knees_seen and xy[[R_HIP, L_HIP], 1].min() < 0.85 * height:
        # One capsule from hip to foot: the knee stands for the whole leg.
        xy[[R_KNEE, L_KNEE]] = xy[[R_HIP, L_HIP]] + (0.0, _LEG * unit)
        seen[[R_KNEE, L_KNEE]] = True
    return xy, seen


def capsule_field(
    bodies: np.ndarray, x: torch.Tensor, y: torch.Tensor, height: int
) -> torch.Tensor:
    """Distance of every grid point to each of `[N,18,3]` bodies, `[N,h,w]` in torso lengths.

    Negative inside. x `[w]` and y `[h]` are the grid's pixel coordinates.
    """
    made = [capsules(joints, height) for joints in bodies]
    longest = max(len(c) for c in made)
    # Bodies with fewer capsules repeat their first one: a minimum does not see the difference.
    table = torch.tensor([
        [[c.ax, c.ay, c.bx, c.by, c.radius] for c in (body + body[:1] * longest)[:longest]]
        for body in made
    ])  # fmt: skip
    unit = torch.tensor([anatomy.torso_length(joints) for joints in bodies])
    nearest = segment_distance(table[:, 0, :4], x, y).sub_(table[:, 0, 4, None, None])
    for k in range(1, longest):
        distance = segment_distance(table[:, k, :4], x, y).sub_(table[:, k, 4, None, None])
        torch.minimum(nearest, distance, out=nearest)
    return nearest / unit[:, None, None]


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
