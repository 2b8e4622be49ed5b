"""Pose -> the map a pose ControlNet was trained on.

Body, hands and face are painted as `draw_poses` of controlnet_aux's `open_pose/util.py` does, pixel
for pixel where its fixed sizes apply (short side 512). The nets of that family were trained at 512
px; on other canvases the sticks grow with the short side, so that the map a net sees, once scaled
to its latent, keeps the proportions of its training.
"""

import colorsys
from enum import Enum

import numpy as np

from . import raster
from .skeleton import HAND_EDGES, LIMBS, Pose, Skeleton

# Joint i and limb i share a colour; limbs are painted at 60 %, joints at full strength.
COLOURS = np.array([
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
], dtype=np.uint8)  # fmt: skip
LIMB_COLOURS = np.array([[int(c * 0.6) for c in map(float, row)] for row in COLOURS[:17]], np.uint8)
_HAND_POINT, _FACE_POINT = (0, 0, 255), (255, 255, 255)
_HAND_COLOURS = [
    [round(c * 255) for c in colorsys.hsv_to_rgb(i / len(HAND_EDGES), 1.0, 1.0)]
    for i in range(len(HAND_EDGES))
]
_ENDS = np.array(LIMBS)
_TRAINED_SIDE, _STICK, _JOINT, _FACE_DOT = 512, 4, 4, 3


class Style(str, Enum):
    """Whose proportions: OpenPose maps of the SD1.5 nets, or xinsir's openpose net for SDXL."""

    OPENPOSE = "openpose"
    XINSIR = "xinsir"


def draw(
    pose: Pose, style: Style = Style.OPENPOSE, hands: bool = True, face: bool = True
) -> np.ndarray:
    """The pose map, uint8 RGB `[H,W,3]`, people painted in turn on black."""
    canvas = np.zeros((pose.height, pose.width, 3), dtype=np.uint8)
    stick, joint, dot = sizes(pose.width, pose.height, style)
    for person in pose.people:
        _paint_body(canvas, person, stick, joint)
        for hand in (person.left_hand, person.right_hand):
            if hands and hand[:, 2].any():
                _paint_hand(canvas, hand, joint)
        if face and person.face[:, 2].any():
            _paint_discs(canvas, _whole(person.face), dot, np.array(_FACE_POINT, np.uint8))
    return canvas


def sizes(width: int, height: int, style: Style) -> tuple[int, int, int]:
    """Half width of limbs, radius of joints, radius of face dots, in pixels."""
    if style is Style.XINSIR:
        # The scale its author asks for on the model card; joints keep their size.
        longest = max(width, height)
        return _STICK * (1 if longest < 500 else min(2 + longest // 1000, 7)), _JOINT, _FACE_DOT
    scale = min(width, height) / _TRAINED_SIDE
    stick, joint, dot = (max(1, round(size * scale)) for size in (_STICK, _JOINT, _FACE_DOT))
    return stick, joint, dot


def limb_ellipses(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres `[L,2]`, half lengths `[L]` and angles `[L]` in degrees, all integers as in training,
    of the limbs between joints a and b, `[L,2]` in pixels."""
    along = a - b
    length = np.sqrt((along**2).sum(axis=1))
    angle = np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    middle, half, angle = (np.trunc(v).astype(np.int64) for v in ((a + b) / 2, length / 2, angle))
    return middle, half, angle


def _paint_body(canvas: np.ndarray, person: Skeleton, stick: int, joint: int) -> None:
    seen = person.seen
    limbs = np.flatnonzero(seen[_ENDS].all(axis=1))
    if len(limbs):
        ends = person.body[_ENDS[limbs], :2]
        middle, half, angle = limb_ellipses(ends[:, 0], ends[:, 1])
        _paint_limbs(canvas, middle, half, angle, stick, LIMB_COLOURS[limbs])
    _paint_discs(canvas, np.trunc(person.body[seen, :2]), joint, COLOURS[seen])


def _paint_limbs(
    canvas: np.ndarray,
    middle: np.ndarray,
    half: np.ndarray,
    angle: np.ndarray,
    stick: int,
    colours: np.ndarray,
) -> None:
    try:
        import cv2
    except ImportError:
        axes = np.c_[half, np.full_like(half, stick)]
        corners = raster.ellipse_polygons(middle, axes, angle)
        _paint(canvas, raster.fill_polygons(corners, *canvas.shape[:2]), colours)
        return
    # The same pixels, several times faster where OpenCV is installed.
    for (x, y), reach, turn, colour in zip(
        middle.tolist(), half.tolist(), angle.tolist(), colours.tolist(), strict=True
    ):
        corners = cv2.ellipse2Poly((x, y), (reach, stick), turn, 0, 360, 1)
        cv2.fillConvexPoly(canvas, corners, colour)


def _paint_hand(canvas: np.ndarray, hand: np.ndarray, joint: int) -> None:
    seen = _drawable(hand)
    for (a, b), colour in zip(HAND_EDGES, _HAND_COLOURS, strict=True):
        if seen[a] and seen[b]:
            ends = np.trunc(hand[[a, b], :2]).astype(int).tolist()
            pixels = raster.thick_line(tuple(ends[0]), tuple(ends[1]), *canvas.shape[:2])
            canvas[pixels.y, pixels.x] = colour
    _paint_discs(canvas, _whole(hand), joint, np.array(_HAND_POINT, np.uint8))


def _drawable(points: np.ndarray) -> np.ndarray:
    """Hands and faces are skipped at the left and upper border, where their nets put failures."""
    return (points[:, 2] > 0) & (np.trunc(points[:, :2]) >= 1).all(axis=1)


def _whole(points: np.ndarray) -> np.ndarray:
    return np.trunc(points[_drawable(points), :2])


def _paint_discs(canvas: np.ndarray, centres: np.ndarray, radius: int, colours: np.ndarray) -> None:
    pixels = raster.discs(centres.astype(np.int64), radius, *canvas.shape[:2])
    _paint(canvas, pixels, np.broadcast_to(colours, (len(centres), 3)))


def _paint(canvas: np.ndarray, pixels: raster.Pixels, colours: np.ndarray) -> None:
    """Shape after shape: where two of them meet, the later one stays."""
    order = np.argsort(pixels.shape.astype(np.int16), kind="stable")
    # Where an index repeats, NumPy's assignment keeps the last value.
    flat = (pixels.y * canvas.shape[1] + pixels.x)[order]
    canvas.reshape(-1, 3)[flat] = colours[pixels.shape[order]]
