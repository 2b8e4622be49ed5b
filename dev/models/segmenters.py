"""Folders for the text-mask backends: transformers' own classes, small and with random weights."""

import shutil
from pathlib import Path
from typing import Any

import torch

from .checkpoint import CONFIGS, config, random_weights

# Grounding DINO finds the ends of phrases by BERT's own numbers for these tokens.
BERT_TOKENS = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 1012: ".", 1029: "?"}


def _save(folder: Path, model: Any, processor: Any) -> None:
    # transformers' own start values are so small that every picture gives the same mask.
    model.load_state_dict(random_weights(model))
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def clipseg(models: Path) -> None:
    """segmentation/small_clipseg: CLIPSeg with CLIP's own tokenizer"""
    import comfy.sd1_clip
    import transformers

    words = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"
    processor = transformers.CLIPSegProcessor(
        transformers.ViTImageProcessor(size={"height": 64, "width": 64}),
        transformers.CLIPTokenizer.from_pretrained(words),
    )
    model = transformers.CLIPSegForImageSegmentation(config("clipseg"))
    _save(models / "segmentation/small_clipseg", model, processor)


def _segformer(folder: Path, labels: str) -> None:
    import transformers

    names = dict(enumerate(CONFIGS[labels].split(",")))
    shape = config("segformer", id2label=names, label2id={name: n for n, name in names.items()})
    images = transformers.SegformerImageProcessor(size={"height": 128, "width": 128})
    _save(folder, transformers.SegformerForSemanticSegmentation(shape), images)


def clothes(models: Path) -> None:
    """segmentation/small_clothes: SegFormer with the labels of segformer_b2_clothes"""
    _segformer(models / "segmentation/small_clothes", "clothes")


def face_parsing(models: Path) -> None:
    """segmentation/small_face_parsing: SegFormer with the labels of face-parsing"""
    _segformer(models / "segmentation/small_face_parsing", "face")


def _bert_tokenizer(folder: Path) -> Any:
    from transformers import BertTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = [*letters, *(f"##{letter}" for letter in letters), *"-,'"]
    vocabulary = [BERT_TOKENS.get(number, f"[unused{number}]") for number in range(1100)]
    vocabulary[1100 - len(words) :] = words
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "vocab.txt"
    file.write_text("\n".join(vocabulary), encoding="utf-8")
    return BertTokenizer(str(file))


def grounding_dino(models: Path) -> None:
    """segmentation/small_grounding_dino: Grounding DINO on a small Swin, a tokenizer of letters"""
    import transformers

    model = transformers.GroundingDinoForObjectDetection(config("grounding_dino"))
    folder = models / "segmentation/small_grounding_dino"
    images = transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": 128, "longest_edge": 200}
    )
    _save(folder, model, transformers.GroundingDinoProcessor(images, _bert_tokenizer(folder)))
    # A score is a product with this norm's output: at its full size every box would be certain.
    with torch.no_grad():
        model.model.decoder.layer_norm.weight.mul_(0.2)
    model.save_pretrained(folder)


def sam2(models: Path) -> None:
    """segmentation/small_sam2: SAM 2 for pictures on a small Hiera"""
    import transformers

    images = transformers.Sam2ImageProcessor(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )
    processor = transformers.Sam2Processor(images)
    _save(models / "segmentation/small_sam2", transformers.Sam2Model(config("sam2")), processor)


MAKERS = [clipseg, clothes, face_parsing, grounding_dino, sam2]
