"""The OpenPose map of a scene, as ControlNets know it: limbs as ellipses at 60 % of their colour,
then joints as discs. Radius 4 where the shorter side is 512, in proportion otherwise."""

import math

import numpy as np
from PIL import Image, ImageDraw

from .poses import Point
from .scenes import Scene

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12),
    (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_JOINTS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
_DIMMED = [tuple(int(0.6 * value) for value in colour) for colour in _JOINTS[: len(LIMBS)]]
_FIRST_JOINT = 1 + len(LIMBS)
PALETTE = np.array([(0, 0, 0), *_DIMMED, *_JOINTS], dtype=np.uint8)
"""`[36,3]`: black, 17 limbs, 18 joints."""


def bodies(scene: Scene) -> np.ndarray:
    """`[people,18,3]`: x and y in pixels and 1, or three zeros for a joint that cannot be seen."""
    return np.array([
        [(*point, 1.0) if point else (0.0, 0.0, 0.0) for point in person.joints]
        for person in scene.people
    ])  # fmt: skip


def skeleton_index(scene: Scene) -> np.ndarray:
    """`[H,W]` uint8, indices into PALETTE: a third of the RGB map's memory."""
    image = Image.new("L", scene.size)
    draw = ImageDraw.Draw(image)
    radius = 4 * min(scene.size) / 512
    for person in scene.people:
        for limb, (a, b) in enumerate(LIMBS):
            start, end = person.joints[a], person.joints[b]
            if start is not None and end is not None:
                draw.polygon(_ellipse(start, end, radius), fill=1 + limb)
        for joint, point in enumerate(person.joints):
            if point is not None:
                x, y = point
                box = (x - radius, y - radius, x + radius, y + radius)
                draw.ellipse(box, fill=_FIRST_JOINT + joint)
    return np.asarray(image)


def _ellipse(a: Point, b: Point, half: float) -> list[Point]:
    """The limb from a to b, `half` px to either side."""
    x, y = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
    ux, uy = (b[0] - a[0]) / length, (b[1] - a[1]) / length
    points = []
    for k in range(24):
        along, across = math.cos(k * math.pi / 12), math.sin(k * math.pi / 12)
        points.append(
            (
                x + ux * length / 2 * along - uy * half * across,
                y + uy * length / 2 * along + ux * half * across,
            )
        )
    return points


def skeleton(scene: Scene) -> Image.Image:
    """The map as RGB, of the picture's size."""
    return Image.fromarray(PALETTE[skeleton_index(scene)])
