"""A face of a reference picture laid over a face of another: warped, colour-matched, blended."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F

from ..pictures import rgb
from ..regions.rect import Rect
from .align import (
    CROP,
    TEMPLATE,
    crop_matrix,
    inverse,
    moved,
    points_of,
    sample,
    samples_per_pixel,
    similarity,
    window,
)
from .boxes import Face

# The soft edge inside the face's outline, in crops by the template.
_FEATHER = 0.06
# Middle and radii of the inner face in a crop by the template: its outline where only anchors are
# known.
_MIDDLE, _RADII = (0.5, 0.62), (0.25, 0.27)
# The thin-plate spline is worked out on so many points a side, bilinear between.
_GRID = 65
_ROOM = 2  # pixels between the cloned part and the border, which OpenCV's solver takes as given


@dataclass(frozen=True, eq=False)
class Reference:
    """A face to take, and the picture `[H,W,C]` that shows it."""

    picture: torch.Tensor
    # With landmarks.
    face: Face


@dataclass(frozen=True, kw_only=True)
class Warp:
    """How a reference is fitted."""

    # 0..1, how far the reference takes on the picture's colours.
    match_colour: float = 1.0
    # Also bend it, so that every landmark fits.
    thin_plate: bool = False


def opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "mode: warp blends with OpenCV. Install the package opencv-python, or choose redraw."
        ) from error
    return cv2


def warp_faces(
    image: torch.Tensor,
    pairs: list[list[tuple[Face, Reference]]],
    settings: Warp,
) -> torch.Tensor:
    """IMAGE `[B,H,W,C]` with each face of `pairs` (per picture) covered by its reference's.

    Pixels outside the faces' outlines and alpha are the input's bit for bit. ImportError without
    OpenCV.
    """
    cv2 = opencv()
    result = image.clone()
    for index, row in enumerate(pairs):
        for face, reference in row:
            _warp_face(cv2, result[index], face, reference, settings)
    return result


def _warp_face(
    cv2: ModuleType,
    target: torch.Tensor,
    face: Face,
    reference: Reference,
    settings: Warp,
) -> None:
    """One face of `target` `[H,W,C]`, in place."""
    height, width = target.shape[:2]
    place = window(crop_matrix(face), CROP, width, height)
    if place is None:
        return
    part = target[..., :3][place.slices(width=width, height=height)]
    below = part.float().cpu().numpy()
    outline = _outline(cv2, face, reference, place)
    if not outline.any():
        return
    warped = carried_reference(face, reference, place, settings.thin_plate)
    above = warped.movedim(0, -1).clamp(0, 1).cpu().numpy()
    if settings.match_colour:
        matched = match_colour(cv2, above, below, outline)
        above = above + settings.match_colour * (matched - above)
    cloned = _clone(cv2, above, below, outline)
    scale = float(np.sqrt(np.linalg.det(crop_matrix(face)[:, :2])))
    weight = _soft(outline, max(1.0, _FEATHER * CROP / scale))
    share = torch.from_numpy(weight)[..., None].to(part.device)
    blended = torch.lerp(part.float(), torch.from_numpy(cloned).to(part.device), share)
    part.copy_(torch.where(share > 0, blended.clamp(0, 1).to(part.dtype), part))


def carried_reference(
    face: Face, reference: Reference, place: Rect, thin_plate: bool
) -> torch.Tensor:
    """The reference picture as it lies over a window of the target (whole pixels): `[3,h,w]`, face
    on face."""
    here, there = _pairs(face, reference)
    matrix = similarity(here, there)
    samples = samples_per_pixel(matrix)
    picture = rgb(reference.picture).movedim(-1, 0).float()
    points = points_of(matrix, place, samples, picture.device)
    if thin_plate:
        bend = _bend(here, there - moved(here, matrix), place)
        points = points + F.interpolate(
            bend.to(points.device), points.shape[:2], mode="bilinear", align_corners=True
        )[0].movedim(0, -1)
    return sample(picture, points, samples)


def _pairs(target: Face, reference: Reference) -> tuple[np.ndarray, np.ndarray]:
    """The same landmarks of both: all of a detector's where both have them, else the anchors."""
    a, b = target.landmarks, reference.face.landmarks
    if a is None or b is None:
        raise ValueError("mode: warp needs the landmarks of every face that takes part.")
    if a.dense is not None and b.dense is not None and len(a.dense) == len(b.dense):
        return a.dense, b.dense
    count = min(len(a.anchors), len(b.anchors))
    return a.anchors[:count], b.anchors[:count]


def _bend(here: np.ndarray, offsets: np.ndarray, place: Rect) -> torch.Tensor:
    """Offsets at landmarks -> `[1,2,_GRID,_GRID]` over the window, by a thin-plate spline (Bookstein
    1989): the smoothest field that meets each of them."""
    from scipy.interpolate import RBFInterpolator

    # Two landmarks on one point say two things of it, which no spline can meet.
    here, first = np.unique(here, axis=0, return_index=True)
    x, y = np.linspace(place.left, place.right, _GRID), np.linspace(place.top, place.bottom, _GRID)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    field = RBFInterpolator(here, offsets[first], kernel="thin_plate_spline")(grid)
    return torch.from_numpy(field.T.reshape(1, 2, _GRID, _GRID)).float()


def _outline(cv2: ModuleType, face: Face, reference: Reference, place: Rect) -> np.ndarray:
    """Where the face is, `[h,w]` of bool: the hull of its landmarks, or an oval by its anchors;
    inside the reference picture too."""
    here, there = _pairs(face, reference)
    if len(here) > len(TEMPLATE):
        points = here
    else:
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        oval = np.c_[_MIDDLE[0] + _RADII[0] * np.cos(turn), _MIDDLE[1] + _RADII[1] * np.sin(turn)]
        points = moved(oval * CROP, inverse(crop_matrix(face)))
    height, width = reference.picture.shape[:2]
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    shown = moved(frame, inverse(similarity(here, there)))
    size, corner = (int(place.height), int(place.width)), (place.left, place.top)
    both = _filled(cv2, points - corner, size) & _filled(cv2, shown - corner, size)
    return both.astype(bool)


def _filled(cv2: ModuleType, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The hull of points in pixels as 0 and 1, `[h,w]`; a pixel counts by its centre."""
    mask = np.zeros(size, np.uint8)
    # OpenCV counts from the first pixel's centre. Sixteenths of a pixel, so that no edge jumps.
    hull = cv2.convexHull(((points - 0.5) * 16).round().astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1, shift=4)
    return mask


def match_colour(
    cv2: ModuleType, picture: np.ndarray, like: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """`picture` `[h,w,3]` with the mean and spread of `like` in L*a*b*, both measured at `where`
    (Reinhard et al. 2001). OpenCV's L*a*b*, which takes a twelfth of the time of kornia's."""
    ours = cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2Lab)
    theirs = cv2.cvtColor(np.ascontiguousarray(like, np.float32), cv2.COLOR_RGB2Lab)
    spread = theirs[where].std(axis=0) / np.maximum(ours[where].std(axis=0), 1e-3)
    # A flat reference has no contrast to stretch, only noise.
    moved_to = (ours - ours[where].mean(axis=0)) * spread.clip(0.5, 2.0)
    moved_to = moved_to + theirs[where].mean(axis=0)
    return cv2.cvtColor(moved_to.astype(np.float32), cv2.COLOR_Lab2RGB).clip(0, 1)


def _clone(cv2: ModuleType, above: np.ndarray, below: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`above`'s gradients with `below`'s colours along the border of `where`: Poisson blending
    (Perez, Gangnet and Blake 2003), in OpenCV's 8 bits. `[h,w,3]`."""
    room = ((_ROOM, _ROOM), (_ROOM, _ROOM))
    mask = np.pad(where.astype(np.uint8) * 255, room)
    rows, columns = np.nonzero(mask)
    if np.ptp(rows) < 2 or np.ptp(columns) < 2:
        return above
    src, dst = (
        np.ascontiguousarray((np.pad(p, (*room, (0, 0)), mode="edge") * 255).round(), np.uint8)
        for p in (above, below)
    )
    # OpenCV puts the middle of the mask's bounding box at this point.
    x, y, w, h = cv2.boundingRect(mask)
    cloned = cv2.seamlessClone(src, dst, mask, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)
    return cloned[_ROOM:-_ROOM, _ROOM:-_ROOM].astype(np.float32) / 255


def _soft(where: np.ndarray, feather: float) -> np.ndarray:
    """1 inside `where`, falling to 0 at its border over `feather` pixels, 0 outside. The window's
    border is no edge: a face cut by the picture goes on there."""
    from scipy.ndimage import distance_transform_edt

    wide = int(np.ceil(feather)) + 1
    grown = np.pad(where, wide, mode="edge")
    depth = distance_transform_edt(grown)
    assert isinstance(depth, np.ndarray)  # noqa: S101
    ramp = (depth[wide:-wide, wide:-wide] / feather).clip(0, 1)
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32) * where
