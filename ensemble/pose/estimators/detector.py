"""Boxes round people by an object detector of transformers (RT-DETR, D-FINE and their kin)."""

import logging
from pathlib import Path

import numpy as np
import torch

from .base import Box
from .loading import config_of, load_folder, model_folders

logger = logging.getLogger(__name__)

_KINDS = ("rt_detr", "rt_detr_v2", "d_fine", "dfine", "deformable_detr", "conditional_detr", "detr")
_THRESHOLD = 0.3


def detector_folder() -> Path | None:
    """The first folder under models/pose_estimation that holds an object detector."""
    for folder in model_folders():
        if config_of(folder).get("model_type") in _KINDS:
            return folder
    return None


def person_boxes(image: np.ndarray) -> tuple[Box, ...] | None:
    """Boxes of the people in an RGB uint8 picture `[H,W,3]`; None where there is no detector."""
    folder = detector_folder()
    if folder is None:
        logger.warning(
            "No person detector in models/pose_estimation: the whole picture is taken for one "
            "person. Link person_boxes, or add an RT-DETR folder."
        )
        return None
    model, processor, device = load_folder(folder, "AutoModelForObjectDetection").on_device()
    inputs = processor(images=image, return_tensors="pt").to(device)
    with torch.inference_mode():
        outputs = model(**inputs)
    found = processor.post_process_object_detection(
        outputs, threshold=_THRESHOLD, target_sizes=[image.shape[:2]]
    )[0]
    names = {int(k): str(v).lower() for k, v in model.config.id2label.items()}
    # Label 0 is the person in every COCO and Objects365 detector, also where names were not kept.
    person = next((k for k, name in names.items() if name == "person"), 0)
    boxes = found["boxes"][found["labels"] == person].cpu()
    boxes[:, 2:] -= boxes[:, :2]
    return tuple(Box(*box) for box in boxes.tolist())
