"""OpenPose as the package controlnet_aux has it, on weights under models/pose_estimation/openpose."""

import importlib
import importlib.util
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.loading import Loaded, load_once, manage
from ...regions.body18 import BODY_POINTS
from ..skeleton import FACE_POINTS, HAND_POINTS, Pose, Skeleton
from .base import FOLDER, Sockets

_BODY, _HAND, _FACE = "body_pose_model.pth", "hand_pose_model.pth", "facenet.pth"
_ALIAS = "_ensemble_controlnet_aux"


@dataclass(frozen=True)
class OpenPose:
    title: str = "OpenPose"
    needs: str = (
        "OpenPose: the package controlnet-aux, and body_pose_model.pth (hand_pose_model.pth and "
        "facenet.pth too, for hands and faces) in models/pose_estimation/openpose/; its weights "
        "are for non-commercial use"
    )

    def choices(self) -> tuple[str, ...]:
        return ("openpose",)

    def missing(self, choice: str, sockets: Sockets) -> str:
        if weights_file(_BODY) is None:
            return f"no {_BODY} in models/pose_estimation/openpose"
        if importlib.util.find_spec("controlnet_aux") is None:
            return "the package controlnet-aux is not installed"
        return ""

    def estimate(self, image: np.ndarray, choice: str, sockets: Sockets) -> Pose:
        height, width = image.shape[:2]
        package = _open_pose()
        hand, face = weights_file(_HAND), weights_file(_FACE)
        detector = package.OpenposeDetector(
            _part(package.body.Body, package.body.bodypose_model, weights_file(_BODY)),
            _part(package.hand.Hand, package.hand.handpose_model, hand),
            _face(package, face),
        )
        with torch.inference_mode():
            found = detector.detect_poses(image, include_hand=hand is not None,
                                          include_face=face is not None)  # fmt: skip
        return Pose(width, height, tuple(_skeleton(person, width, height) for person in found))


def weights_file(name: str) -> Path | None:
    import folder_paths

    path = folder_paths.get_full_path(FOLDER, f"openpose/{name}")
    return Path(path) if path else None


def _open_pose() -> Any:
    """controlnet_aux.open_pose, without running controlnet_aux's own __init__.

    That imports every detector of the package, and fails wherever a mediapipe from 0.10.30 on is
    installed. Under a name of our own the subpackage loads alone, and other packs' imports of the
    real one are not touched.
    """
    if _ALIAS not in sys.modules:
        spec = importlib.util.find_spec("controlnet_aux")
        package = types.ModuleType(_ALIAS)
        package.__path__ = list((spec and spec.submodule_search_locations) or ())
        sys.modules[_ALIAS] = package
    return importlib.import_module(f"{_ALIAS}.open_pose")


def _state(path: Path) -> dict[str, torch.Tensor]:
    import comfy.utils

    return comfy.utils.load_torch_file(str(path), safe_load=True)


def _part(kind: Any, network: Any, path: Path | None) -> Any:
    """One of the package's estimators round a network that ComfyUI manages.

    Their constructors read the file themselves, and not safely, hence the round-about way.
    """
    if path is None:
        return None

    def load(path: Path) -> Loaded:
        net = network()
        # The network's keys have a first part more than the file's: "model0.conv1_1.weight".
        state = _state(path)
        net.load_state_dict({key: state[key.split(".", 1)[1]] for key in net.state_dict()})
        return manage(net)

    part = kind.__new__(kind)
    part.model = load_once("openpose", path, load).on_device()[0]
    return part


def _face(package: Any, path: Path | None) -> Any:
    if path is None:
        return None

    def load(path: Path) -> Loaded:
        net = package.face.FaceNet()
        net.load_state_dict(_state(path))
        return manage(net)

    face = package.face.Face.__new__(package.face.Face)
    face.inference_size = package.face.params["inference_img_size"]
    face.sigma = package.face.params["gaussian_sigma"]
    face.threshold = package.face.params["heatmap_peak_thresh"]
    face.model = load_once("facenet", path, load).on_device()[0]
    return face


def _skeleton(found: Any, width: int, height: int) -> Skeleton:
    """The package's PoseResult, fractions of the picture, -> pixels."""

    def points(keypoints: Any, count: int) -> np.ndarray:
        array = np.zeros((count, 3))
        for i, point in enumerate(keypoints or ()):
            if point is not None and point.x >= 0 and point.y >= 0:
                array[i] = (point.x * width, point.y * height, 1.0)
        return array

    return Skeleton(
        points(found.body.keypoints, BODY_POINTS),
        points(found.face, FACE_POINTS),
        points(found.left_hand, HAND_POINTS),
        points(found.right_hand, HAND_POINTS),
    )
