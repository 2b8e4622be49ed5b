"""What a skeleton says about a body: its scale, its middle, its depth. NumPy, pixels.

A body is `[18,3]`: x, y, score in OpenPose's BODY_18 order; a joint with score 0 is missing.
"""

import numpy as np

from .body18 import Joint

HEAD = (Joint.NOSE, Joint.R_EYE, Joint.L_EYE, Joint.R_EAR, Joint.L_EAR)
# COCO's per-joint deviations (pycocotools, cocoeval.py) in BODY_18 order; the neck, which COCO does
# not annotate, takes the shoulders'.
_SIGMA = np.array([
    .026, .079, .079, .072, .062, .079, .072, .062, .107, .087, .089, .107, .087, .089, .025, .025,
    .035, .035,
])  # fmt: skip


def torso_length(body: np.ndarray) -> float:
    """The body's unit in pixels: neck to mid-hip. Where that is not seen the longer of 1.3 shoulder
    widths and 3 head widths (a turned body shortens one or the other), or 1.4 thighs; 0 where
    nothing tells."""
    seen, xy = body[:, 2] > 0, body[:, :2]
    shoulders = seen[Joint.R_SHOULDER] and seen[Joint.L_SHOULDER]
    hips = [j for j in (Joint.R_HIP, Joint.L_HIP) if seen[j]]
    top = (
        xy[Joint.NECK]
        if seen[Joint.NECK]
        else xy[[Joint.R_SHOULDER, Joint.L_SHOULDER]].mean(0)
        if shoulders
        else None
    )
    if top is not None and hips:
        return float(np.linalg.norm(top - xy[hips].mean(0)))
    width = 0.0
    if shoulders:
        width = float(np.linalg.norm(xy[Joint.R_SHOULDER] - xy[Joint.L_SHOULDER]))
    elif seen[Joint.NECK] and (seen[Joint.R_SHOULDER] or seen[Joint.L_SHOULDER]):
        side = Joint.R_SHOULDER if seen[Joint.R_SHOULDER] else Joint.L_SHOULDER
        width = 2 * float(np.linalg.norm(xy[side] - xy[Joint.NECK]))
    unit = max(1.3 * width, 3.0 * head_width(body))
    if unit > 0:
        return unit
    thighs = [(Joint.R_HIP, Joint.R_KNEE), (Joint.L_HIP, Joint.L_KNEE)]
    lengths = [np.linalg.norm(xy[a] - xy[b]) for a, b in thighs if seen[a] and seen[b]]
    return 1.4 * float(max(lengths, default=0.0))


def head_width(body: np.ndarray) -> float:
    """Ear to ear; else the shorter of twice one ear's way to the nose and 2.2 times the distance of
    the eyes; else 0.9 of nose to neck; 0 where nothing tells."""
    seen, xy = body[:, 2] > 0, body[:, :2]
    if seen[Joint.R_EAR] and seen[Joint.L_EAR]:
        return float(np.linalg.norm(xy[Joint.R_EAR] - xy[Joint.L_EAR]))
    widths = [
        2.0 * float(np.linalg.norm(xy[ear] - xy[Joint.NOSE]))
        for ear in (Joint.R_EAR, Joint.L_EAR)
        if seen[ear] and seen[Joint.NOSE]
    ]
    if seen[Joint.R_EYE] and seen[Joint.L_EYE]:
        widths.append(2.2 * float(np.linalg.norm(xy[Joint.R_EYE] - xy[Joint.L_EYE])))
    if widths:
        return min(widths)
    if seen[Joint.NOSE] and seen[Joint.NECK]:
        return 0.9 * float(np.linalg.norm(xy[Joint.NOSE] - xy[Joint.NECK]))
    return 0.0


def torso_centre(body: np.ndarray) -> np.ndarray:
    """Middle of neck and hips, `[2]`; the middle of all joints where the torso is not seen.

    People are told apart left to right by it: a box would let an outstretched arm change the order.
    """
    seen, xy = body[:, 2] > 0, body[:, :2]
    hips = [j for j in (Joint.R_HIP, Joint.L_HIP) if seen[j]]
    shoulders = [j for j in (Joint.R_SHOULDER, Joint.L_SHOULDER) if seen[j]]
    top = xy[Joint.NECK] if seen[Joint.NECK] else xy[shoulders].mean(0) if shoulders else None
    if top is not None:
        return (top + xy[hips].mean(0)) / 2 if hips else top
    return xy[hips].mean(0) if hips else xy[seen].mean(0)


def head_circle(body: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Centre `[2]` and radius of the head with its hair, in pixels; None where no head is seen."""
    seen, xy = body[:, 2] > 0, body[:, :2]
    parts = [j for j in HEAD if seen[j]]
    if not parts:
        return None
    unit = torso_length(body)
    radius = float(np.clip(0.85 * head_width(body), 0.22 * unit, 0.42 * unit))
    # Eyes, ears and nose lie in the lower half of a head with hair.
    return xy[parts].mean(0) - (0.0, 0.25 * radius), radius


def depth_order(bodies: np.ndarray) -> np.ndarray:
    """Rank of each of `[N,18,3]` bodies from near (0) to far, `[N]`.

    Of two people on one floor the nearer stands lower in the picture. Feet that are not seen are
    thought 2.4 torso lengths under the neck, as on a standing adult: a big half body is near too.
    """
    floor, size = [], []
    for body in bodies:
        unit = torso_length(body)
        feet = [body[j, 1] for j in (Joint.R_ANKLE, Joint.L_ANKLE) if body[j, 2] > 0]
        neck = body[Joint.NECK, 1] if body[Joint.NECK, 2] > 0 else torso_centre(body)[1]
        floor.append(max(feet) if feet else neck + 2.4 * unit)
        size.append(unit)
    order = np.lexsort((-np.array(size), -np.array(floor)))
    rank = np.empty(len(bodies), dtype=int)
    rank[order] = np.arange(len(bodies))
    return rank


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """COCO's object keypoint similarity of two bodies over the joints both have, 0..1."""
    both = (a[:, 2] > 0) & (b[:, 2] > 0)
    if not both.any():
        return 0.0
    # COCO's scale is the root of the object's area; a body is about 2 by 3.2 torso lengths.
    area = max(torso_length(a), torso_length(b), 1e-6) ** 2 * 3.0
    off = ((a[both, :2] - b[both, :2]) ** 2).sum(axis=1)
    return float(np.exp(-off / (2 * area * (2 * _SIGMA[both]) ** 2)).mean())


def real_people(bodies: list[np.ndarray], width: int, height: int) -> list[int]:
    """Indices of the bodies that are people: fragments and second detections of one body left out.

    A fragment has under 3 joints, or a torso shorter than 2 % of the picture's shorter side.
    """
    least = 0.02 * min(width, height)
    strength = [(int((b[:, 2] > 0).sum()), float(b[:, 2].sum())) for b in bodies]
    kept: list[int] = []
    for i in sorted(range(len(bodies)), key=lambda i: strength[i], reverse=True):
        whole = strength[i][0] >= 3 and torso_length(bodies[i]) >= least
        if whole and all(similarity(bodies[i], bodies[j]) <= 0.6 for j in kept):
            kept.append(i)
    return sorted(kept)
