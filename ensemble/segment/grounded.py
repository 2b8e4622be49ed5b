"""Grounding DINO finds a phrase as boxes; SAM 2 cuts out what is in them."""

from pathlib import Path

import torch

from ..models.loading import Loaded, find_folder, load_folder
from .backend import FOLDER, Backend, Job, ModelFile, Sockets, Softness, ranks
from .words import open_phrase

# Boxes kept per phrase and picture, best first.
MAX_BOXES = 20
# Pictures per forward of the detector and of SAM 2's image encoder.
CHUNK = 4

_DINO_CLASSES = {
    "grounding-dino": "GroundingDinoForObjectDetection",
    "mm-grounding-dino": "MMGroundingDinoForObjectDetection",
}
_FILES = ("IDEA-Research/grounding-dino-tiny", "facebook/sam2.1-hiera-small")


def find(sockets: Sockets) -> tuple[Path, str, Path] | None:
    """Both folders and the detector's class. SAM 2's published folders call themselves
    sam2_video, and hold the picture model."""
    sam = find_folder(FOLDER, lambda config: config.get("model_type") in ("sam2", "sam2_video"))
    for kind, model_class in _DINO_CLASSES.items():
        dino = find_folder(FOLDER, lambda config, kind=kind: config.get("model_type") == kind)
        if dino and sam:
            return dino, model_class, sam
    return None


def segment(found: tuple[Path, str, Path], job: Job) -> torch.Tensor:
    dino_folder, dino_class, sam_folder = found
    pictures = job.pictures()
    dino = load_folder(FOLDER, dino_folder, dino_class)
    boxes = [detect(dino, pictures, open_phrase(word), job.threshold) for word in job.words]
    return cut(load_folder(FOLDER, sam_folder, "Sam2Model"), pictures, boxes)


def detect(
    loaded: Loaded, pictures: list[torch.Tensor], phrase: str, threshold: float
) -> list[torch.Tensor]:
    """Boxes `[N,4]` (x0, y0, x1, y1 in pixels) of one phrase in each picture, best first."""
    model, device = loaded.on_device()
    found = []
    for start in range(0, len(pictures), CHUNK):
        chunk = pictures[start : start + CHUNK]
        inputs = loaded.processor(
            images=chunk, text=[f"{phrase.lower()}."] * len(chunk), return_tensors="pt"
        ).to(device)
        with torch.inference_mode():
            outputs = model(**inputs)
        results = loaded.processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=threshold,
            text_threshold=threshold,
            target_sizes=[tuple(picture.shape[1:]) for picture in chunk],
        )
        for result in results:
            best = result["scores"].argsort(descending=True)[:MAX_BOXES]
            found.append(result["boxes"][best].cpu())
    return found


def cut(
    loaded: Loaded, pictures: list[torch.Tensor], boxes: list[list[torch.Tensor]]
) -> torch.Tensor:
    """What SAM 2 sees in the boxes of W phrases and B pictures: soft masks `[W,B,H,W]`.

    A picture's features are computed once, for all phrases.
    """
    model, device = loaded.on_device()
    height, width = pictures[0].shape[1:]
    masks = torch.zeros(len(boxes), len(pictures), height, width)
    # A picture without a single box needs no features.
    wanted = [i for i in range(len(pictures)) if any(len(phrase[i]) for phrase in boxes)]
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        inputs = loaded.processor(images=[pictures[i] for i in chunk], return_tensors="pt")
        with torch.inference_mode():
            features = model.get_image_embeddings(inputs["pixel_values"].to(device))
            for place, index in enumerate(chunk):
                one = [level[place : place + 1] for level in features]
                for phrase, mask in zip(boxes, masks[:, index], strict=True):
                    if len(phrase[index]):
                        mask.copy_(_cut_one(loaded, model, one, phrase[index], (height, width)))
    return masks


def _cut_one(loaded: Loaded, model, features: list, boxes: torch.Tensor, size) -> torch.Tensor:
    inputs = loaded.processor(
        input_boxes=[boxes.tolist()], original_sizes=[list(size)], return_tensors="pt"
    )
    outputs = model(
        image_embeddings=features,
        input_boxes=inputs["input_boxes"].to(features[0].device),
        multimask_output=False,
    )
    logits = loaded.processor.post_process_masks(
        outputs.pred_masks.float().cpu(), [list(size)], binarize=False
    )[0]
    return logits[:, 0].amax(dim=0).sigmoid()


BACKEND = Backend(
    id="grounded_sam2",
    title="Grounding DINO + SAM 2",
    files=tuple(map(ModelFile.folder_of, _FILES)),
    licence="Apache-2.0 (both)",
    softness=Softness.EDGE,
    fit=ranks({"foreground": 0.3}, other=0.7),
    find=find,
    segment=segment,
    threshold=0.3,
)
