"""Boxes round people by an object detector of transformers (RT-DETR, D-FINE and their kin)."""

import logging

import numpy as np
import torch

from ...models.loading import find_folder, load_folder
from ...regions.rect import Rect
from .base import FOLDER

logger = logging.getLogger(__name__)

_KINDS = ("rt_detr", "rt_detr_v2", "d_fine", "dfine", "deformable_detr", "conditional_detr", "detr")
_THRESHOLD = 0.3


def person_boxes(image: np.ndarray) -> tuple[Rect, ...] | None:
    """Boxes of the people in an RGB uint8 picture `[H,W,3]`; None where there is no detector."""
    folder = find_folder(FOLDER, lambda config: config.get("model_type") in _KINDS)
    if folder is None:
        logger.warning(
            "No person detector in models/pose_estimation: the whole picture is taken for one "
            "person. Link person_boxes, or add an RT-DETR folder."
        )
        return None
    loaded = load_folder(FOLDER, folder, "AutoModelForObjectDetection", "AutoImageProcessor")
    model, device = loaded.on_device()
    inputs = loaded.processor(images=image, return_tensors="pt").to(device)
    with torch.inference_mode():
        outputs = model(**inputs)
    found = loaded.processor.post_process_object_detection(
        outputs, threshold=_THRESHOLD, target_sizes=[image.shape[:2]]
    )[0]
    names = {int(k): str(v).lower() for k, v in model.config.id2label.items()}
    # Label 0 is the person in every COCO and Objects365 detector, also where names were not kept.
    person = next((k for k, name in names.items() if name == "person"), 0)
    boxes = found["boxes"][found["labels"] == person]
    return tuple(Rect.pixels(*box) for box in boxes.tolist())
