"""Faces with their landmarks: FACE_LANDMARKS, POSE_KEYPOINT and BOUNDING_BOX in; a face detector where
nothing is wired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ..pose.skeleton import Joint, Skeleton, read_pose_keypoint
from .align import CROP, AlignedFace, carry, crop_matrix, inverse
from .boxes import Face, distinct
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


@dataclass(frozen=True)
class FaceInputs:
    """What is linked: boxes choose the faces, landmarks align them."""

    boxes: Any = None
    landmarks: Any = None
    people: Any = None
    face_detection: Any = None


@dataclass(frozen=True)
class Found:
    """Faces per picture, biggest first, and what there is to say about them."""

    faces: list[list[AlignedFace]]
    notes: tuple[str, ...] = ()


def aligned_faces(image: torch.Tensor, inputs: FaceInputs) -> Found:
    """The faces of each picture of IMAGE `[B,H,W,C]`.

    The faces are the boxes, else those that have landmarks, else what FaceInpaint would find. Their
    landmarks are the linked ones, else MediaPipe's where its model is linked or in its folder, else
    none. At most MAX_FACES a picture.
    """
    count, height, width = image.shape[:3]
    linked = None
    if inputs.landmarks is not None:
        linked = read_landmarks(inputs.landmarks, count, width, height)
    if inputs.boxes is not None:
        rows = read_boxes(inputs.boxes, count)
    elif linked is not None:
        rows = linked
    else:
        sources = Sources(face_detection=inputs.face_detection, people=inputs.people)
        rows = [[AlignedFace(f) for f in row] for row in find_faces(image, sources, Source.AUTO)]
    rows = [_biggest(row, width, height) for row in rows]
    notes = tuple(_notes(rows))
    rows = [row[:MAX_FACES] for row in rows]
    if linked is not None:
        rows = [
            [_with_landmarks(each, near) for each in row]
            for row, near in zip(rows, linked, strict=True)
        ]
    else:
        detector = mediapipe(inputs.face_detection)
        if detector is not None:
            rows = [_look(detector, picture, row) for picture, row in zip(image, rows, strict=True)]
    return Found(rows, notes)


def _biggest(row: list[AlignedFace], width: int, height: int) -> list[AlignedFace]:
    """Biggest first, without those that lie outside the picture or have no size."""

    def inside(face: Face) -> bool:
        x, y = face.centre
        return 0 <= x < width and 0 <= y < height and min(face.width, face.height) >= 1

    return sorted((each for each in row if inside(each.face)), key=lambda each: -each.face.side)


def _notes(rows: list[list[AlignedFace]]):
    for index, row in enumerate(rows, start=1):
        if not row:
            yield f"picture {index}: no face, left as it is"
        elif len(row) > MAX_FACES:
            yield f"picture {index}: {len(row)} faces, the biggest {MAX_FACES} are worked on"


def _look(detector: Any, picture: torch.Tensor, row: list[AlignedFace]) -> list[AlignedFace]:
    """MediaPipe's landmarks, looked for in each face's own crop, where small faces are big."""
    from ..segment.mediapipe_face import landmarks

    if not row:
        return row
    planes = picture[..., :3].movedim(-1, 0).float()
    matrices = [inverse(crop_matrix(each)) for each in row]
    crops = [carry(planes, matrix, (CROP, CROP)).clamp(0, 1) for matrix in matrices]
    found, _ = landmarks(detector, torch.stack(crops).movedim(1, -1).cpu())
    seen = []
    for each, matrix, faces in zip(row, matrices, found["frames"], strict=True):
        near = [_of_mesh(face, np.ones(2)) for face in faces]
        if not near:
            seen.append(each)
            continue
        # A neighbour may look into the crop; the face itself is in its middle.
        middle = CROP / 2
        best = min(near, key=lambda a: np.hypot(*(np.array(a.face.centre) - middle)))
        seen.append(each.with_landmarks(best, matrix))
    return seen


def read_landmarks(value: Any, count: int, width: int, height: int) -> list[list[AlignedFace]]:
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


def _of_mesh(face: Mapping[str, Any], scale: np.ndarray) -> AlignedFace:
    points = np.asarray(face["landmarks_xy"], dtype=np.float64) * scale
    box = np.asarray(face["bbox_xyxy"], dtype=np.float64) * np.tile(scale, 2)
    anchors = np.array([points[list(group)].mean(axis=0) for group in _MESH])
    return AlignedFace(Face(*(float(v) for v in box)), anchors, points)


def _of_person(person: Skeleton) -> AlignedFace | None:
    """All points of the face, or eyes and nose alone; None for a person seen from behind."""
    points = person.face[:_IBUG_POINTS]
    if len(points) == _IBUG_POINTS and (points[:, 2] > 0).all():
        points = points[:, :2]
        anchors = np.array([points[list(group)].mean(axis=0) for group in _IBUG])
        corners = (*points.min(axis=0), *points.max(axis=0))
        return AlignedFace(Face(*(float(v) for v in corners)), anchors, points)
    if not person.seen[list(_BODY)].all():
        return None
    anchors = person.body[list(_BODY), :2]
    # Brows to chin is about twice the distance of the eyes, with the nose in the middle.
    half = float(np.linalg.norm(anchors[1] - anchors[0]))
    x, y = (float(v) for v in anchors[2])
    return AlignedFace(Face(x - half, y - half, x + half, y + half), anchors)


def read_boxes(value: Any, count: int) -> list[list[AlignedFace]]:
    """Core's BOUNDING_BOX for `count` pictures: one box, boxes for every picture, or a list of boxes
    per picture. Of several boxes on one face one is kept."""
    rows = value
    if isinstance(value, Mapping):
        rows = [[value]]
    elif isinstance(value, Sequence) and value and all(isinstance(v, Mapping) for v in value):
        rows = [value]
    if not isinstance(rows, Sequence) or not all(isinstance(row, Sequence) for row in rows):
        raise ValueError(f"boxes: expected BOUNDING_BOX, not {value!r}.")
    faces = [distinct(_box(box) for box in row) for row in rows] or [[]]
    return _for_pictures([[AlignedFace(face) for face in row] for row in faces], count, "boxes")


def _box(box: Any) -> Face:
    try:
        x, y, w, h = (float(box[key]) for key in ("x", "y", "width", "height"))
        return Face(x, y, x + w, y + h, float(box.get("score", 1.0)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"boxes: a box must have x, y, width and height in pixels, not {box!r}."
        ) from error


def _with_landmarks(each: AlignedFace, near: list[AlignedFace]) -> AlignedFace:
    """The face, with the landmarks of the one whose centre lies in its box and nearest to its own."""
    box = each.face
    x, y = box.centre

    def inside(other: AlignedFace) -> bool:
        ox, oy = other.face.centre
        return box.left <= ox <= box.right and box.top <= oy <= box.bottom

    def distance(other: AlignedFace) -> float:
        return float(np.hypot(other.face.centre[0] - x, other.face.centre[1] - y))

    best = min(filter(inside, near), key=distance, default=None)
    return each if best is None else replace(best, face=box)
