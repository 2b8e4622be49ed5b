"""SegFormer models that label every pixel: clothes and limbs (ATR), or the parts of a face."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from ..models.loading import Loaded, find_folder, load_folder
from ..regions.rect import Rect
from .backend import FOLDER, Backend, Job, ModelFile, Sockets, Softness
from .words import CLOTHES_PARTS, FACE_PARTS, concept

# Pictures per forward; each costs about 150 MB of logits at 512 pixels.
CHUNK = 8
# The face model was trained on pictures a face fills: it sees squares this much larger than a box.
FACE_MARGIN = 2.0

CLOTHES_FILE = ModelFile(
    "segformer_b2_clothes/ (a folder)",
    "segmentation",
    "huggingface.co/mattmdjaga/segformer_b2_clothes",
)
FACE_FILE = ModelFile(
    "face-parsing/ (a folder)", "segmentation", "huggingface.co/jonathandinu/face-parsing"
)


def _folder(label: str) -> Path | None:
    """The SegFormer folder whose labels hold this one, which only one of the two models has."""
    return find_folder(
        FOLDER,
        lambda config: (
            config.get("model_type") == "segformer"
            and label in (config.get("id2label") or {}).values()
        ),
    )


def clothes_fit(word: str) -> float:
    fits = {"foreground": 0.2, "person": 0.5}
    return fits.get(concept(word), 0.8 if concept(word) in CLOTHES_PARTS else 0.0)


def face_fit(word: str) -> float:
    # It has seen no more of clothes and hats than what shows around a face.
    fits = {"clothes": 0.2, "hat": 0.5}
    return fits.get(concept(word), 0.75 if concept(word) in FACE_PARTS else 0.0)


def find_clothes(sockets: Sockets) -> Path | None:
    return _folder("Upper-clothes")


def find_face(sockets: Sockets) -> Path | None:
    return _folder("l_brow")


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
    squares = _face_squares(job)
    if squares is None:
        logits, names = _logits(loaded, job.pictures())
        return torch.stack(
            [part(logits, names, FACE_PARTS[concept(word)], job.size) for word in job.words]
        )
    masks = job.image.new_zeros(len(job.words), *job.image.shape[:3])
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


def _face_squares(job: Job) -> list[tuple[int, slice, slice]] | None:
    """Each face's picture and the rows and columns of its square; None without a detector."""
    from .mediapipe_face import face_boxes, find

    detector = find(job.sockets)
    if detector is None:
        return None
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
    files=(CLOTHES_FILE,),
    licence="MIT (its base weights, NVIDIA's MiT-B2, are for non-commercial use)",
    softness=Softness.EDGE,
    fit=clothes_fit,
    find=find_clothes,
    segment=segment_clothes,
)

FACE = Backend(
    id="face_parsing",
    title="SegFormer face parsing",
    files=(FACE_FILE,),
    licence="tagged MIT; its data set, CelebAMask-HQ, is for non-commercial research",
    softness=Softness.EDGE,
    fit=face_fit,
    find=find_face,
    segment=segment_face,
)
