"""OpenCV's SFace (Zhong et al. 2021), a small face recogniser that sees upright faces of 112 px."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..faces.align import CROP, TEMPLATE, crop_matrix, inverse, moved
from ..faces.detectors import YuNet, yunet_file
from ..models.loading import find_file, load_once
from ..pictures import rgb, to_bytes
from ..segment.backend import ModelFile
from .embedder import FOLDER, Embedder, View


@dataclass(frozen=True)
class SFace:
    id: str = "sface"
    title: str = "SFace"
    files: tuple[ModelFile, ...] = (
        ModelFile(
            "face_recognition_sface_2021dec.onnx",
            FOLDER,
            "github.com/opencv/opencv_zoo, or huggingface.co/opencv/face_recognition_sface",
        ),
    )
    licence: str = "Apache-2.0"
    # Of OpenCV's own sample, for the same person in two photos.
    threshold: float = 0.363

    def find(self) -> Path | None:
        """The first .onnx file, those that are called SFace before others; None without OpenCV."""
        if importlib.util.find_spec("cv2") is None:
            return None
        return find_file(FOLDER, "*sface*.onnx", "*.onnx")

    def embed(self, found: Path, views: Sequence[View]) -> torch.Tensor:
        """Each face set upright by YuNet's landmarks, where its file is there, else by the landmarks
        that it has, else by its box."""
        net, yunet = load_once(self.id, found, _load), _yunet()
        rows = []
        for view in views:
            row = np.zeros((1, 15), np.float32)
            row[0, 4:14] = anchors(view, yunet).ravel()
            upright = net.alignCrop(_bgr(to_bytes(rgb(view.picture))), row)
            rows.append(np.asarray(net.feature(upright)).ravel().copy())
        return torch.from_numpy(np.stack(rows))


def anchors(view: View, yunet: YuNet | None) -> np.ndarray:
    """Eyes, nose and mouth corners `[5,2]` of the face, in pixels of the picture."""
    # Cropped by the box alone, so that all detectors' faces look alike to YuNet.
    boxed = replace(view, face=view.face.with_landmarks(None))
    back = inverse(crop_matrix(boxed.face))
    seen = yunet.rows(_bgr(boxed.crop())) if yunet is not None else np.zeros((0, 15))
    if len(seen):
        # A neighbour may look into the crop; the face itself is in its middle.
        middles = seen[:, :2] + seen[:, 2:4] / 2
        nearest = np.linalg.norm(middles - CROP / 2, axis=1).argmin()
        return moved(seen[nearest, 4:14].reshape(5, 2), back)
    own = view.face.landmarks
    if own is not None and len(own.anchors) == len(TEMPLATE):
        return own.anchors
    return moved(TEMPLATE, back)


def _bgr(picture: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(picture.numpy()[..., ::-1])


def _yunet() -> YuNet | None:
    path = yunet_file("")
    return None if path is None else YuNet.load(Path(path))


def _load(path: Path) -> Any:
    import cv2

    try:
        return cv2.FaceRecognizerSF.create(str(path), "")
    except cv2.error as error:
        raise ValueError(
            f"embedder: OpenCV cannot read {path.name} in models/{FOLDER} as SFace ({error.err}). The "
            f"file may be cut off, or a Git LFS pointer; get it again."
        ) from error


EMBEDDER: Embedder = SFace()
