"""Masks as the transformers library itself makes them, one picture and one phrase at a time.

Nothing of the pack is used here: this is what its backends are held against.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def clipseg(folder: Path, picture: Image.Image, phrase: str) -> np.ndarray:
    """Likelihood `[H,W]`, by the model card: processor, model, sigmoid; enlarged as logits."""
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

    processor = CLIPSegProcessor.from_pretrained(folder)
    model = CLIPSegForImageSegmentation.from_pretrained(folder)
    inputs = processor(text=[phrase], images=[picture], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**inputs).logits
    logits = logits.reshape(1, 1, *logits.shape[-2:])
    large = F.interpolate(logits, picture.size[::-1], mode="bilinear", align_corners=False)
    return large.sigmoid()[0, 0].numpy()


def labels(folder: Path, picture: Image.Image, wanted: set[str]) -> np.ndarray:
    """Pixels `[H,W]` bool that the image-segmentation pipeline gives one of the wanted labels."""
    from transformers import pipeline

    found = np.zeros(picture.size[::-1], bool)
    for part in pipeline("image-segmentation", model=str(folder), device="cpu")(picture):
        if part["label"] in wanted:
            found |= np.asarray(part["mask"]) > 0
    return found


def detect(folder: Path, picture: Image.Image, phrase: str, threshold: float) -> torch.Tensor:
    """Boxes `[N,4]` by the model card of Grounding DINO."""
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    inputs = processor(images=picture, text=f"{phrase}.", return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    return processor.post_process_grounded_object_detection(
        outputs, inputs.input_ids, threshold=threshold, target_sizes=[picture.size[::-1]]
    )[0]["boxes"]


def cut(folder: Path, picture: Image.Image, boxes: torch.Tensor) -> np.ndarray:
    """Pixels `[H,W]` bool inside any of SAM 2's masks for the boxes, by the model card."""
    from transformers import Sam2Model, Sam2Processor

    processor = Sam2Processor.from_pretrained(folder)
    model = Sam2Model.from_pretrained(folder)
    inputs = processor(images=picture, input_boxes=[boxes.tolist()], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs, multimask_output=False)
    masks = processor.post_process_masks(outputs.pred_masks, inputs["original_sizes"])[0]
    return masks[:, 0].any(dim=0).numpy()
