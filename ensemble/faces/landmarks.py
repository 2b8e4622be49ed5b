"""Faces with their landmarks, from FACE_LANDMARKS, POSE_KEYPOINT and BOUNDING_BOX, else by a face
detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..pictures import rgb
from ..pose.skeleton import Skeleton, read_pose_keypoint
from ..regions.body18 import Joint
from ..regions.bounding_box import read_bounding_boxes
from ..regions.rect import Rect
from .align import WHOLE_CROP, carry, crop_matrix, inverse, landmarks_through
from .boxes import Face, Landmarks, distinct
from .choices import Source
from .detect import Sources, find_faces
from .detectors import mediapipe

MAX_FACES = 64
# Points of MediaPipe's face mesh: corners and lids of both eyes, tip of the nose, mouth corners.
# The person's right eye comes first: it is on the viewer's left.
_MESH = ((33, 133, 159, 145), (362, 263, 386, 374), (1,), (61,), (291,))
# The same of the 68 points of iBUG, with which OpenPose's face begins.
_IBUG = (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,))
_IBUG_POINTS = 68
_BODY = (Joint.R_EYE, Joint.L_EYE, Joint.NOSE)


@dataclass(frozen=True, kw_only=True)
class FaceInputs:
    """What is linked: boxes choose the faces, landmarks align them."""

    boxes: Any = None
    landmarks: Any = None
    people: Any = None
    face_detection: Any = None


@dataclass(frozen=True)
class Found:
    """Faces per picture, biggest first, and what there is to say about them."""

    faces: list[list[Face]]
    notes: tuple[str, ...] = ()


def chosen_faces(image: torch.Tensor, inputs: FaceInputs) -> Found:
    """The faces of each picture of IMAGE `[B,H,W,C]`: the boxes, else those that have landmarks,
    else what FaceInpaint would find; at most MAX_FACES a picture. Linked landmarks are theirs.
    """
    count, height, width = image.shape[:3]
    linked = None
    if inputs.landmarks is not None:
        linked = read_landmarks(inputs.landmarks, count, width, height)
    if inputs.boxes is not None:
        rows = read_boxes(inputs.boxes, count)
        if linked is not None:
            rows = [
                [_with_nearest(face, near) for face in row]
                for row, near in zip(rows, linked, strict=True)
            ]
    elif linked is not None:
        rows = linked
    else:
        sources = Sources(face_detection=inputs.face_detection, people=inputs.people)
        rows = find_faces(image, sources, Source.AUTO)
    rows = [_biggest(row, width, height) for row in rows]
    return Found([row[:MAX_FACES] for row in rows], tuple(_notes(rows)))


def aligned_faces(image: torch.Tensor, inputs: FaceInputs) -> Found:
    """`chosen_faces`, where no landmarks are linked with MediaPipe's, if its model is linked or in
    its folder."""
    found = chosen_faces(image, inputs)
    detector = mediapipe(inputs.face_detection) if inputs.landmarks is None else None
    if detector is None:
        return found
    rows = zip(image, found.faces, strict=True)
    return Found([_look(detector, picture, row) for picture, row in rows], found.notes)


def _biggest(row: list[Face], width: int, height: int) -> list[Face]:
    """Biggest first, without those that lie outside the picture or have no size."""

    def inside(face: Face) -> bool:
        x, y = face.box.centre
        return 0 <= x < width and 0 <= y < height and min(face.box.width, face.box.height) >= 1

    return sorted(filter(inside, row), key=lambda face: -face.box.side)


def _notes(rows: list[list[Face]]):
    for index, row in enumerate(rows, start=1):
        if not row:
            yield f"picture {index}: no face, left as it is"
        elif len(row) > MAX_FACES:
            yield f"picture {index}: {len(row)} faces, the biggest {MAX_FACES} are worked on"


def _look(detector: Any, picture: torch.Tensor, row: list[Face]) -> list[Face]:
    """MediaPipe's landmarks, looked for in each face's own crop, where small faces are big."""
    from ..segment.mediapipe_face import landmarks

    if not row:
        return row
    planes = rgb(picture).movedim(-1, 0).float()
    matrices = [inverse(crop_matrix(face)) for face in row]
    crops = [carry(planes, matrix, WHOLE_CROP).clamp(0, 1) for matrix in matrices]
    found, _ = landmarks(detector, torch.stack(crops).movedim(1, -1).cpu())
    seen = []
    for face, matrix, meshes in zip(row, matrices, found["frames"], strict=True):
        near = [_of_mesh(mesh, np.ones(2)) for mesh in meshes]
        # A neighbour may look into the crop; the face itself is in its middle.
        best = min(near, key=lambda other: _distance(other, WHOLE_CROP), default=None)
        if best is not None and best.landmarks is not None:
            face = face.with_landmarks(landmarks_through(best.landmarks, matrix))
        seen.append(face)
    return seen


def _distance(face: Face, box: Rect) -> float:
    """Pixels between two centres."""
    return float(np.hypot(*np.subtract(face.box.centre, box.centre)))


def read_landmarks(value: Any, count: int, width: int, height: int) -> list[list[Face]]:
    """FACE_LANDMARKS or POSE_KEYPOINT for `count` pictures of width x height pixels.

    One frame serves every picture. ValueError names any other difference in number.
    """
    if isinstance(value, Mapping) and "frames" in value:
        was_height, was_width = value["image_size"]
        scale = np.array([width / was_width, height / was_height])
        frames = [[_of_mesh(face, scale) for face in frame] for frame in value["frames"]]
    else:
        frames = []
        for pose in read_pose_keypoint(value):
            scale = (width / pose.width, height / pose.height)
            people = [person.moved(scale, (0, 0)) for person in pose.people]
            frames.append([face for person in people if (face := _of_person(person))])
    return _for_pictures(frames, count, "landmarks")


def _for_pictures(frames: list, count: int, name: str) -> list:
    if len(frames) == 1:
        return frames * count
    if len(frames) != count:
        raise ValueError(
            f"{name}: made for {len(frames)} pictures, and there are {count}; give one list of "
            "faces for each picture, or one for all."
        )
    return frames


def _of_mesh(mesh: Mapping[str, Any], scale: np.ndarray) -> Face:
    points = np.asarray(mesh["landmarks_xy"], dtype=np.float64) * scale
    box = np.asarray(mesh["bbox_xyxy"], dtype=np.float64) * np.tile(scale, 2)
    return Face.at(*box.tolist()).with_landmarks(Landmarks(_means(points, _MESH), points))


def _means(points: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    return np.array([points[list(group)].mean(axis=0) for group in groups])


def _of_person(person: Skeleton) -> Face | None:
    """All points of the face, or eyes and nose alone; None for a person seen from behind."""
    points = person.face[:_IBUG_POINTS]
    if len(points) == _IBUG_POINTS and (points[:, 2] > 0).all():
        points = points[:, :2]
        box = Face.at(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
        return box.with_landmarks(Landmarks(_means(points, _IBUG), points))
    if not person.seen[list(_BODY)].all():
        return None
    anchors = person.body[list(_BODY), :2]
    # Brows to chin is about twice the distance of the eyes, with the nose in the middle.
    half = float(np.linalg.norm(anchors[1] - anchors[0]))
    x, y = (float(v) for v in anchors[2])
    return Face.at(x - half, y - half, x + half, y + half).with_landmarks(Landmarks(anchors))


def read_boxes(value: Any, count: int) -> list[list[Face]]:
    """Core's BOUNDING_BOX for `count` pictures. Of several boxes on one face one is kept."""
    rows = [distinct(map(Face.of, row)) for row in read_bounding_boxes(value, "boxes")]
    return _for_pictures(rows, count, "boxes")


def _with_nearest(face: Face, near: list[Face]) -> Face:
    """The face, with the landmarks of the one whose centre lies in its box and nearest to its own."""
    box = face.box

    def inside(other: Face) -> bool:
        x, y = other.box.centre
        return box.left <= x <= box.right and box.top <= y <= box.bottom

    best = min(filter(inside, near), key=lambda other: _distance(other, box), default=None)
    return face if best is None else face.with_landmarks(best.landmarks)
