"""Faces upright and at one size: where their points go, and pictures carried there and back.

Points are in pixels from the picture's upper left corner, so the first pixel's centre is (0.5, 0.5).
A 2x3 matrix `m` takes a point p to `m[:, :2] @ p + m[:, 2]`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from ..regions.rect import Rect
from .boxes import Face, Landmarks

CROP = 512
WHOLE_CROP = Rect.pixels(0, 0, CROP, CROP)
# Eyes, nose and mouth corners, left to right as the viewer sees them, in a 512 px crop as the FFHQ
# faces have them; the restoration networks were trained on such crops (facexlib's template).
TEMPLATE = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
# In a crop by the template a face from brows to chin is this much smaller than the crop, and its
# middle lies this much of the crop below the crop's.
_CROP_TO_FACE, _BELOW = 1.6, 0.1


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The turn, scale and shift that take points `[n,2]` nearest to others in least squares.

    Never mirrors. With z = x + iy it is z -> a z + b, where a = <z, w> / <z, z> about the means:
    the closed form of Umeyama (1991) in the plane.
    """
    z, w = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    spread = z - z.mean()
    length = float((np.abs(spread) ** 2).sum())
    if length == 0:
        raise ValueError("The landmarks of a face all lie on one point; give other landmarks.")
    a = (spread.conj() * (w - w.mean())).sum() / length
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def crop_matrix(face: Face) -> np.ndarray:
    """Picture -> crop of CROP pixels: by the landmarks, or a square round the box."""
    if face.landmarks is not None:
        anchors = face.landmarks.anchors
        return similarity(anchors, TEMPLATE[: len(anchors)])
    side = face.box.side * _CROP_TO_FACE
    x, y = face.box.centre
    scale = CROP / side
    return np.array(
        [
            [scale, 0.0, CROP / 2 - scale * x],
            [0.0, scale, CROP / 2 - scale * (y - _BELOW * side)],
        ]
    )


def inverse(matrix: np.ndarray) -> np.ndarray:
    back = np.linalg.inv(matrix[:, :2])
    return np.c_[back, -back @ matrix[:, 2]]


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points `[n,2]` through a matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def landmarks_through(landmarks: Landmarks, matrix: np.ndarray) -> Landmarks:
    dense = landmarks.dense
    return Landmarks(
        moved(landmarks.anchors, matrix), None if dense is None else moved(dense, matrix)
    )


def carry(
    picture: torch.Tensor,
    to_picture: np.ndarray,
    place: Rect,
    padding: str = "reflection",
) -> torch.Tensor:
    """`[C,h,w]`, the part `place` (whole pixels) of a picture whose point p shows `picture`
    `[C,H,W]` at `to_picture` of p.

    kornia's warp_affine takes as long, and one sample per pixel, which flickers where faces shrink.
    """
    samples = samples_per_pixel(to_picture)
    points = points_of(to_picture, place, samples, picture.device)
    return sample(picture, points, samples, padding)


def samples_per_pixel(to_picture: np.ndarray) -> int:
    """How many picture pixels fall into one result pixel, along a side: as many are averaged, so
    that nothing is lost or flickers where a picture shrinks."""
    shrink = math.sqrt(abs(float(np.linalg.det(to_picture[:, :2]))))
    return max(1, math.ceil(shrink - 1e-6))


def points_of(
    to_picture: np.ndarray,
    place: Rect,
    samples: int,
    device: torch.device,
) -> torch.Tensor:
    """Where in the picture each of s x s samples of a pixel of `place` lies: `[h*s,w*s,2]`, x and y
    in pixels."""
    matrix = torch.tensor(to_picture, dtype=torch.float32, device=device)
    y = (torch.arange(int(place.height) * samples, device=device) + 0.5) / samples + place.top
    x = (torch.arange(int(place.width) * samples, device=device) + 0.5) / samples + place.left
    return x[None, :, None] * matrix[:, 0] + y[:, None, None] * matrix[:, 1] + matrix[:, 2]


def sample(
    picture: torch.Tensor, points: torch.Tensor, samples: int, padding: str = "reflection"
) -> torch.Tensor:
    """`picture` `[C,H,W]` at points `[h*s,w*s,2]`, bicubic, s x s of them to a pixel: `[C,h,w]`."""
    size = torch.tensor(picture.shape[:0:-1], dtype=points.dtype, device=points.device)
    sampled = F.grid_sample(
        picture[None],
        (points * (2 / size) - 1)[None],
        mode="bicubic",
        padding_mode=padding,
        align_corners=False,
    )
    return F.avg_pool2d(sampled, samples)[0]


def window(matrix: np.ndarray, crop: int, width: int, height: int) -> Rect | None:
    """The part of a picture that a crop touches, in whole pixels; None where it lies outside."""
    corners = moved(np.array([[0, 0], [crop, 0], [0, crop], [crop, crop]]), inverse(matrix))
    # Not to the nearest pixel, as a Rect is rounded: one that is touched belongs to it.
    left, top = np.floor(corners.min(axis=0)).tolist()
    right, bottom = np.ceil(corners.max(axis=0)).tolist()
    shown = Rect.pixels(left, top, right, bottom).clipped(width=width, height=height)
    return shown if shown.width > 0 and shown.height > 0 else None


def oval(size: int = CROP, feather: float = 0.1) -> torch.Tensor:
    """The face and some of its hair in a crop by the template, `[1,size,size]`: 1 inside, falling to
    0 over `feather` of the crop, and 0 well before its border."""
    places = (torch.arange(size) + 0.5) / size
    across = (places - 0.5) / 0.40
    down = (places - 0.54) / 0.44
    inside = 1 - (across[None, :] ** 2 + down[:, None] ** 2).sqrt()
    ramp = (inside / (feather / 0.42)).clamp(0, 1)
    return (ramp * ramp * (3 - 2 * ramp))[None]
