"""ViTPose of transformers on person boxes, both from folders under models/pose_estimation."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...models.loading import config_of, load_folder, model_folders
from ...regions.body18 import BODY_POINTS, Joint
from ...regions.rect import Rect
from ..skeleton import Pose, Skeleton
from .base import FOLDER, Sockets
from .detector import person_boxes

# The joints of COCO's 17 in their order; they have no neck.
_COCO = (
    Joint.NOSE, Joint.L_EYE, Joint.R_EYE, Joint.L_EAR, Joint.R_EAR, Joint.L_SHOULDER,
    Joint.R_SHOULDER, Joint.L_ELBOW, Joint.R_ELBOW, Joint.L_WRIST, Joint.R_WRIST, Joint.L_HIP,
    Joint.R_HIP, Joint.L_KNEE, Joint.R_KNEE, Joint.L_ANKLE, Joint.R_ANKLE,
)  # fmt: skip


@dataclass(frozen=True)
class ViTPose:
    title: str = "ViTPose"
    needs: str = (
        "ViTPose: models/pose_estimation/<name>/ with config.json, preprocessor_config.json and "
        "model.safetensors of a ViTPose model (such as usyd-community/vitpose-base-simple), and "
        "beside it such a folder of an RT-DETR model (such as PekingU/rtdetr_r50vd_coco_o365)"
    )

    def choices(self) -> tuple[str, ...]:
        return ("vitpose", *(f"vitpose/{folder.name}" for folder in _folders()))

    def missing(self, choice: str, sockets: Sockets) -> str:
        return "" if _folders() else "no ViTPose folder in models/pose_estimation"

    def estimate(self, image: np.ndarray, choice: str, sockets: Sockets) -> Pose:
        height, width = image.shape[:2]
        boxes = sockets.boxes if sockets.boxes is not None else person_boxes(image)
        if boxes is None:
            boxes = (Rect.pixels(0, 0, width, height),)
        if not boxes:
            return Pose(width, height, ())
        name = choice.partition("/")[2]
        folder = next(f for f in _folders() if name in ("", f.name))
        joints = _joints(folder, image, boxes)
        return Pose(width, height, tuple(Skeleton.of(to_body_18(person)) for person in joints))


def _folders() -> list[Path]:
    return [f for f in model_folders(FOLDER) if config_of(FOLDER, f).get("model_type") == "vitpose"]


def _joints(folder: Path, image: np.ndarray, boxes: tuple[Rect, ...]) -> list[np.ndarray]:
    """COCO joints `[17,3]` (x, y, score) of the person in each box."""
    loaded = load_folder(FOLDER, folder, "VitPoseForPoseEstimation", "AutoImageProcessor")
    model, device = loaded.on_device()
    # Single precision, as detectors give it: the refinement of joints magnifies every digit.
    given = [np.array([[b.left, b.top, b.width, b.height] for b in boxes], dtype=np.float32)]
    inputs = loaded.processor(images=image, boxes=given, return_tensors="pt").to(device)
    if model.config.backbone_config.num_experts > 1:
        # ViTPose++ has experts per data set; 0 is COCO.
        inputs["dataset_index"] = torch.zeros(len(boxes), dtype=torch.int64, device=device)
    with torch.inference_mode():
        outputs = model(**inputs)
    found = loaded.processor.post_process_pose_estimation(outputs, boxes=given)[0]
    return [np.c_[p["keypoints"].numpy(), p["scores"].numpy().reshape(-1, 1)] for p in found]


def to_body_18(coco: np.ndarray) -> np.ndarray:
    """COCO's 17 joints `[17,3]` -> BODY_18 `[18,3]`; the neck is the middle of the shoulders."""
    body = np.zeros((BODY_POINTS, 3))
    body[list(_COCO)] = coco
    left, right = body[Joint.L_SHOULDER], body[Joint.R_SHOULDER]
    body[Joint.NECK] = (*((left + right) / 2)[:2], min(left[2], right[2]))
    return body
