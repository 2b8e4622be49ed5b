"""Face detectors that look at pictures, and the tiles on which they look."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
import torch.nn.functional as F

from ..pictures import rgb, to_bytes
from ..regions.rect import Rect, Unit
from .boxes import Face, distinct, is_cut, tiles
from .choices import YUNET_FOLDER, yunet_files

_VIEW = 640
"""Longer side of what a detector sees: a face of half the picture is then about 300 px, one of 15
px in the smallest tile about 30; both within what the detectors were trained for."""
_SMALLEST_TILE = 320


# Faces in each of some views `[N,H,W,3]` of one size, in pixels of the view.
Detector = Callable[[torch.Tensor], list[list[Face]]]


def on_tiles(
    image: torch.Tensor, detector: Detector, smallest: int = _SMALLEST_TILE
) -> list[list[Face]]:
    """Faces of each picture of IMAGE `[B,H,W,C]`, found on overlapping tiles of several sizes.

    `smallest` tile, px; a value of the picture's longer side or more looks at it as a whole only.
    """
    import comfy.model_management

    height, width = image.shape[1:3]
    planes = rgb(image).movedim(-1, 1).float()
    found: list[list[Face]] = [[] for _ in image]
    for tile in tiles(height, width, smallest):
        comfy.model_management.throw_exception_if_processing_interrupted()
        part = tile.cut(planes)
        scale = _VIEW / max(part.shape[-2:])
        size = [max(1, round(side * scale)) for side in part.shape[-2:]]
        views = F.interpolate(part, size, mode="bilinear", antialias=True).movedim(1, -1)
        for faces, seen in zip(found, detector(views), strict=True):
            for face in seen:
                box = face.box.scaled(1 / scale, 1 / scale).moved(tile.left, tile.top)
                if not is_cut(box, tile, height, width):
                    faces.append(replace(face, box=box))
    return [distinct(faces) for faces in found]


def mediapipe(linked: Any) -> Any:
    """The linked FACE_DETECTION_MODEL, or the file of models/detection, or None."""
    from ..segment.backend import Sockets
    from ..segment.mediapipe_face import find

    return find(Sockets(face_detection=linked))


def by_mediapipe(model: Any) -> Detector:
    """Core's port of MediaPipe's face landmarker; `model` is core's model or its file."""
    from ..segment.mediapipe_face import face_boxes

    return lambda views: [list(map(Face.of, boxes)) for boxes in face_boxes(model, views)]


def yunet_file(name: str) -> str | None:
    """Path of a file of models/face_detection by name, or of the first one for ""."""
    names = yunet_files()
    if name and name not in names:
        raise ValueError(
            f"yunet_model: there is no {name!r} in models/{YUNET_FOLDER}. There: "
            f"{', '.join(names) or 'no .onnx file'}."
        )
    if not names:
        return None
    return folder_paths.get_full_path_or_raise(YUNET_FOLDER, name or names[0])


@dataclass(frozen=True)
class YuNet:
    """OpenCV's FaceDetectorYN (Wu, Peng and Yu 2023)."""

    net: Any

    @staticmethod
    def load(path: Path) -> "YuNet":
        """ImportError without OpenCV, ValueError for a file that it cannot read."""
        try:
            import cv2
        except ImportError as error:
            raise ImportError(
                "FaceInpaint: detector yunet needs OpenCV. Install the package opencv-python, or "
                "choose another detector."
            ) from error
        try:
            net = cv2.FaceDetectorYN.create(str(path), "", (_VIEW, _VIEW), 0.7, 0.3, 5000)
        except cv2.error as error:
            raise ValueError(
                f"yunet_model: OpenCV cannot read {path.name} in models/{YUNET_FOLDER} as YuNet "
                f"({error.err}). The file may be cut off, or a Git LFS pointer; get it again."
            ) from error
        return YuNet(net)

    def __call__(self, views: torch.Tensor) -> list[list[Face]]:
        found = []
        for view in views:
            rows = self.rows(np.ascontiguousarray(to_bytes(view).numpy()[..., ::-1])).tolist()
            found.append([_face(row[0], row[1], row[2], row[3], row[14]) for row in rows])
        return found

    def rows(self, picture: np.ndarray) -> np.ndarray:
        """`[n,15]` of BGR uint8 `[H,W,3]`: x, y, width, height, five points (eyes, nose, mouth
        corners, left to right as the viewer sees them), score."""
        self.net.setInputSize((picture.shape[1], picture.shape[0]))
        _, rows = self.net.detect(picture)
        return np.zeros((0, 15)) if rows is None else rows.astype(float)


def _face(x: float, y: float, width: float, height: float, score: float) -> Face:
    return Face(Rect.sized(x, y, width, height, Unit.PIXELS), score)


@dataclass(frozen=True)
class Cascade:
    """scikit-image's local-binary-pattern cascade for frontal faces: the last resort."""

    cascade: Any

    @staticmethod
    def load() -> "Cascade":
        """ValueError where scikit-image is not installed."""
        try:
            from skimage import data, feature
        except ImportError as error:
            raise ValueError(
                "FaceInpaint has nothing to find faces with. Link face_detection, pose or mask, put "
                "a YuNet file into models/face_detection, or install the package scikit-image for "
                "a weak detector."
            ) from error
        return Cascade(feature.Cascade(data.lbp_frontal_face_cascade_filename()))

    def __call__(self, views: torch.Tensor) -> list[list[Face]]:
        found = []
        for view in views:
            boxes = self.cascade.detect_multi_scale(
                img=to_bytes(view).numpy(), scale_factor=1.2, step_ratio=1.5, min_size=(24, 24),
                max_size=(min(view.shape[:2]),) * 2, min_neighbor_number=3,
            )  # fmt: skip
            found.append([_face(b["c"], b["r"], b["width"], b["height"], 0.5) for b in boxes])
        return found
