"""Where the faces are: a mask, a detector on tiles, a pose, the people's heads, or a last resort."""

import importlib.util
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..pose.skeleton import read_pose_keypoint
from ..regional.people import People
from ..regions.body import head_circle
from ..regions.masks import fit
from ..regions.rect import Rect
from . import detectors
from .boxes import Face, distinct, left_to_right
from .choices import Source
from .match import face_of_head

log = logging.getLogger(__name__)
SMALLEST = 8
"""Pixels: a smaller box holds nothing to redraw."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    mask: torch.Tensor | None = None
    face_detection: Any = None
    # A file of models/face_detection; "": the first there.
    yunet: str = ""
    pose: Any = None
    people: People | None = None


def find_faces(image: torch.Tensor, sources: Sources, source: Source) -> list[list[Face]]:
    """Faces of each picture of IMAGE `[B,H,W,C]`, left to right, as `usable` leaves them.

    `auto` takes the first there is of: mask, face_detection, a YuNet file, a MediaPipe file, pose,
    heads of people; and a weak detector with a warning where there is none. ValueError where what
    `source` names is not there.
    """
    if source is Source.AUTO:
        source = _first(sources)
    found = _FINDERS[source](image, sources)
    return [usable(faces, image.shape[2], image.shape[1]) for faces in found]


def usable(faces: Iterable[Face], width: int, height: int) -> list[Face]:
    """The parts of boxes that lie inside the picture, where these are not too small to redraw."""
    clipped = (replace(face, box=face.box.clipped(width=width, height=height)) for face in faces)
    return [face for face in clipped if min(face.box.width, face.box.height) >= SMALLEST]


def _first(sources: Sources) -> Source:
    if sources.mask is not None:
        return Source.MASK
    if sources.face_detection is not None:
        return Source.MEDIAPIPE
    if detectors.yunet_file(sources.yunet) is not None and importlib.util.find_spec("cv2"):
        return Source.YUNET
    if detectors.mediapipe(None) is not None:
        return Source.MEDIAPIPE
    if sources.pose is not None:
        return Source.POSE
    if sources.people is not None and any(p.head for p in sources.people.people):
        return Source.PEOPLE
    log.warning(
        "FaceInpaint: no face detector, so faces are guessed by a weak one that misses turned faces "
        "and sees some where there are none. Link face_detection, pose or mask, or put a YuNet file "
        "into models/face_detection."
    )
    return Source.GUESS


def _by_mask(image: torch.Tensor, sources: Sources) -> list[list[Face]]:
    """Each connected part of the mask is a face."""
    from scipy import ndimage

    if sources.mask is None:
        raise ValueError("detector is mask: link input mask.")
    found = []
    for mask in fit(sources.mask, *image.shape[:3]):
        labels, _ = ndimage.label((mask > 0.5).cpu().numpy())  # type: ignore[misc]
        parts = ndimage.find_objects(labels)
        found.append(left_to_right(Face.at(x.start, y.start, x.stop, y.stop) for y, x in parts))
    return found


def _by_mediapipe(image: torch.Tensor, sources: Sources) -> list[list[Face]]:
    model = detectors.mediapipe(sources.face_detection)
    if model is None:
        raise ValueError(
            "detector is mediapipe: link face_detection (Load Face Detection Model), or put "
            "mediapipe_face_fp32.safetensors into models/detection."
        )
    return detectors.on_tiles(image, detectors.by_mediapipe(model))


def _by_yunet(image: torch.Tensor, sources: Sources) -> list[list[Face]]:
    path = detectors.yunet_file(sources.yunet)
    if path is None:
        raise ValueError(
            "detector is yunet: put an .onnx file of YuNet (face_detection_yunet_*.onnx of OpenCV's "
            "model zoo) into models/face_detection."
        )
    return detectors.on_tiles(image, detectors.YuNet.load(Path(path)))


def _by_pose(image: torch.Tensor, sources: Sources) -> list[list[Face]]:
    """The heads of the skeletons; one pose for all pictures, or one each."""
    if sources.pose is None:
        raise ValueError("detector is pose: link input pose.")
    count, height, width = image.shape[:3]
    poses = read_pose_keypoint(sources.pose)
    if len(poses) not in (1, count):
        raise ValueError(f"pose holds {len(poses)} poses for {count} pictures: give 1 or {count}.")
    found = []
    for pose in poses:
        circles = (head_circle(skeleton.body) for skeleton in pose.people)
        heads = [
            Rect.pixels(x - r, y - r, x + r, y + r).as_fractions(
                width=pose.width, height=pose.height
            )
            for (x, y), r in filter(None, circles)
        ]
        found.append(distinct(face_of_head(head, width, height) for head in heads))
    return found * count if len(found) == 1 else found


def _by_people(image: torch.Tensor, sources: Sources) -> list[list[Face]]:
    people = sources.people.people if sources.people is not None else ()
    heads = [person.head for person in people if person.head is not None]
    if not heads:
        raise ValueError(
            "detector is people: link people that know their heads, from a BREAK Regional Prompt "
            "with a pose."
        )
    height, width = image.shape[1:3]
    faces = distinct(face_of_head(head, width, height) for head in heads)
    return [faces] * image.shape[0]


_FINDERS = {
    Source.MASK: _by_mask,
    Source.MEDIAPIPE: _by_mediapipe,
    Source.YUNET: _by_yunet,
    Source.POSE: _by_pose,
    Source.PEOPLE: _by_people,
    Source.GUESS: lambda image, _: detectors.on_tiles(image, detectors.Cascade.load()),
}
