"""scikit-image's astronaut with landmarks placed by eye, and the same picture moved about."""

import numpy as np
import torch
from ensemble_portraits.ensemble.faces.align import carry, inverse, landmarks_through, moved
from ensemble_portraits.ensemble.faces.boxes import Face, Landmarks
from ensemble_portraits.ensemble.regions.rect import Rect

# Eyes, nose, mouth corners, left to right as the viewer sees them; right to about a pixel.
ANCHORS = np.array([[203.7, 101.3], [246.7, 103.8], [223.3, 127.0], [203.7, 140.0], [247.0, 139.2]])
# Those, and round the face: temples, cheeks, jaw, chin, middle of the forehead.
DENSE = np.r_[
    ANCHORS,
    [[184.0, 95.0], [270.0, 98.0], [183.0, 128.0], [266.0, 132.0], [196.0, 165.0], [250.0, 166.0]],
    [[224.0, 178.0], [222.0, 82.0]],
]
BOX = Face.at(181.0, 88.0, 270.0, 178.0)


def picture() -> torch.Tensor:
    """IMAGE `[1,512,512,3]`."""
    from skimage import data

    return torch.from_numpy(data.astronaut().astype(np.float32) / 255)[None]


def face(dense: bool = False) -> Face:
    return BOX.with_landmarks(Landmarks(ANCHORS, DENSE if dense else None))


def turned(degrees: float, scale: float, x: float, y: float) -> np.ndarray:
    """A turn and scale round the face, then a shift."""
    angle = np.radians(degrees)
    spin = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array(BOX.box.centre)
    return np.c_[spin, middle - spin @ middle + (x, y)]


def seen_through(matrix: np.ndarray, size: tuple[int, int] = (512, 512)) -> torch.Tensor:
    """The picture after a similarity, IMAGE `[1,*size,3]`."""
    planes = picture()[0].movedim(-1, 0)
    return (
        carry(planes, inverse(matrix), Rect.pixels(0, 0, size[1], size[0]))
        .clamp(0, 1)
        .movedim(0, -1)[None]
    )


def face_through(matrix: np.ndarray, dense: bool = False) -> Face:
    box = BOX.box
    corners = moved(np.array([[box.left, box.top], [box.right, box.bottom]]), matrix)
    there = Face.at(*corners.min(axis=0), *corners.max(axis=0))
    return there.with_landmarks(landmarks_through(face(dense).landmarks, matrix))


def mesh(aligned: Face) -> dict:
    """A face as in FACE_LANDMARKS, whose landmark groups lie on the anchors."""
    points = np.zeros((478, 2), np.float32)
    groups = ((33, 133, 159, 145), (362, 263, 386, 374), (1,), (61,), (291,))
    for group, anchor in zip(groups, aligned.landmarks.anchors, strict=True):
        points[list(group)] = anchor
    box = aligned.box
    return {
        "bbox_xyxy": np.array([box.left, box.top, box.right, box.bottom], np.float32),
        "landmarks_xy": points,
    }


def face_landmarks(faces: list[Face], size: tuple[int, int] = (512, 512)) -> dict:
    return {"frames": [[mesh(each) for each in faces]], "image_size": size, "connection_sets": {}}
