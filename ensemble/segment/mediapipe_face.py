"""Faces, eyes and lips by ComfyUI's own port of MediaPipe's face landmarks."""

from pathlib import Path
from typing import Any

import torch

from ..models.loading import find_file, load_once
from ..regions.bounding_box import BoundingBox, read_bounding_boxes
from .backend import Backend, Job, ModelFile, Sockets, Softness, ranks
from .words import concept

# concept -> region names of core's MediaPipeFaceMask
REGIONS = {
    "face": ("face_oval",),
    "eyes": ("left_eye", "right_eye"),
    "lips": ("lips",),
    "mouth": ("lips",),
}
FILE = ModelFile(
    "mediapipe_face_fp32.safetensors", "detection", "huggingface.co/Comfy-Org/mediapipe"
)


def find(sockets: Sockets) -> Any:
    if sockets.face_detection is not None:
        return sockets.face_detection
    return find_file("detection", "mediapipe_face*", "*face_landmark*")


def _load(path: Path) -> Any:
    from comfy.utils import load_torch_file
    from comfy_extras.nodes_mediapipe import FaceLandmarkerModel

    return FaceLandmarkerModel(load_torch_file(str(path), safe_load=True))


def landmarks(found: Any, image: torch.Tensor) -> tuple[dict, list[list[dict]]]:
    """Core's FACE_LANDMARKS and the faces' boxes in pixels, one list per picture."""
    from comfy_extras.nodes_mediapipe import MediaPipeFaceLandmarker

    model = load_once("mediapipe", found, _load) if isinstance(found, Path) else found
    # Both detectors, no cap: the near one alone loses the small faces of a group.
    return MediaPipeFaceLandmarker.execute(model, image, "both", 0, 0.5, "empty").args


def face_boxes(found: Any, image: torch.Tensor) -> list[list[BoundingBox]]:
    return read_bounding_boxes(landmarks(found, image)[1], "face_detection")


def segment(found: Any, job: Job) -> torch.Tensor:
    from comfy_extras.nodes_mediapipe import MediaPipeFaceMask

    faces, _ = landmarks(found, job.image)
    masks = []
    for word in job.words:
        picked = dict.fromkeys(REGIONS[concept(word)], True)
        regions = {"regions": "custom", **picked}
        masks.append(MediaPipeFaceMask.execute(faces, regions).args[0].float())
    return torch.stack(masks)


BACKEND = Backend(
    id="mediapipe",
    title="MediaPipe face",
    files=(FILE,),
    licence="Apache-2.0",
    softness=Softness.EDGE,
    fit=ranks(dict.fromkeys(REGIONS, 1.0)),
    find=find,
    segment=segment,
)
