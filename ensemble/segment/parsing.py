"""SegFormer models that label every pixel: clothes and limbs (ATR), or the parts of a face."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from ..models.loading import Loaded, find_folder, load_folder
from ..regions.rect import Rect
from .backend import FOLDER, Backend, Job, ModelFile, Sockets, Softness, ranks
from .words import CLOTHES_PARTS, FACE_PARTS, concept

# Pictures per forward; each costs about 150 MB of logits at 512 pixels.
CHUNK = 8
# The face model was trained on pictures a face fills: it sees squares this much larger than a box.
FACE_MARGIN = 2.0


def _finder(label: str) -> Callable[[Sockets], Path | None]:
    """Finds the SegFormer folder whose labels hold this one, which only one of the two models has."""

    def is_it(config: dict) -> bool:
        labels = (config.get("id2label") or {}).values()
        return config.get("model_type") == "segformer" and label in labels

    return lambda sockets: find_folder(FOLDER, is_it)


def segment_clothes(found: Path, job: Job) -> torch.Tensor:
    loaded = load_folder(FOLDER, found, "SegformerForSemanticSegmentation")
    logits, names = _logits(loaded, job.pictures())
    masks = [part(logits, names, _clothes_labels(word, names), job.size) for word in job.words]
    return torch.stack(masks)


def _clothes_labels(word: str, names: Sequence[str]) -> Sequence[str]:
    if concept(word) in ("person", "foreground"):
        return [name for name in names if name != "Background"]
    return CLOTHES_PARTS[concept(word)]


def segment_face(found: Path, job: Job) -> torch.Tensor:
    loaded = load_folder(FOLDER, found, "SegformerForSemanticSegmentation")
    masks = job.image.new_zeros(len(job.words), *job.image.shape[:3])
    squares = _face_squares(job)
    if not squares:
        return masks
    pictures = job.pictures()
    crops = [pictures[index][:, y, x] for index, y, x in squares]
    logits, names = _logits(loaded, crops)
    for one, (index, y, x) in zip(logits, squares, strict=True):
        for word, mask in zip(job.words, masks[:, index, y, x], strict=True):
            found_part = part(one[None], names, FACE_PARTS[concept(word)], mask.shape)[0]
            torch.maximum(mask, found_part.to(mask), out=mask)
    return masks


def _face_squares(job: Job) -> list[tuple[int, slice, slice]]:
    """Each face's picture and the rows and columns of its square; all of each picture without a
    detector."""
    from .mediapipe_face import face_boxes, find

    detector = find(job.sockets)
    if detector is None:
        return [(index, slice(None), slice(None)) for index in range(len(job.image))]
    height, width = job.size
    squares = []
    for index, boxes in enumerate(face_boxes(detector, job.image)):
        for box in boxes:
            (x, y), half = box.rect.centre, box.rect.side * FACE_MARGIN / 2
            square = Rect.pixels(x - half, y - half, x + half, y + half)
            squares.append((index, *square.slices(width=width, height=height)))
    return squares


def _logits(loaded: Loaded, pictures: list[torch.Tensor]) -> tuple[torch.Tensor, list[str]]:
    """Class logits `[B,C,h,w]` at the model's resolution, and the C labels."""
    model, device = loaded.on_device()
    pixels = loaded.processor(pictures, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = [model(pixel_values=chunk.to(device)).logits for chunk in pixels.split(CHUNK)]
    labels: Mapping[int, str] = model.config.id2label
    return torch.cat(logits), [labels[i] for i in range(len(labels))]


def part(
    logits: torch.Tensor, names: Sequence[str], wanted: Sequence[str], size: Sequence[int]
) -> torch.Tensor:
    """Soft mask `[B,H,W]` of the pixels whose label is among the wanted.

    The sigmoid of the margin between the best wanted and the best other label: above one half
    exactly where the library's own arg-max picks a wanted label, and a ramp along the edge.
    """
    large = F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)
    inside = torch.tensor([name in wanted for name in names], device=large.device)
    return (large[:, inside].amax(dim=1) - large[:, ~inside].amax(dim=1)).sigmoid()


CLOTHES = Backend(
    id="clothes",
    title="SegFormer clothes",
    files=(ModelFile.folder_of("mattmdjaga/segformer_b2_clothes"),),
    licence="MIT (its base weights, NVIDIA's MiT-B2, are for non-commercial use)",
    softness=Softness.EDGE,
    fit=ranks({**dict.fromkeys(CLOTHES_PARTS, 0.8), "foreground": 0.2, "person": 0.5}),
    find=_finder("Upper-clothes"),
    segment=segment_clothes,
)

FACE = Backend(
    id="face_parsing",
    title="SegFormer face parsing",
    files=(ModelFile.folder_of("jonathandinu/face-parsing"),),
    licence="tagged MIT; its data set, CelebAMask-HQ, is for non-commercial research",
    softness=Softness.EDGE,
    # It has seen no more of clothes and hats than what shows around a face.
    fit=ranks({**dict.fromkeys(FACE_PARTS, 0.75), "clothes": 0.2, "hat": 0.5}),
    find=_finder("l_brow"),
    segment=segment_face,
)
