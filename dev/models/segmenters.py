"""Folders for the text-mask backends: transformers' own classes, small and with random weights."""

import shutil
from pathlib import Path
from typing import Any

import torch

from .checkpoint import random_weights

# The published labels of mattmdjaga/segformer_b2_clothes and of jonathandinu/face-parsing.
CLOTHES = (
    "Background,Hat,Hair,Sunglasses,Upper-clothes,Skirt,Pants,Dress,Belt,Left-shoe,Right-shoe,Face,"
    "Left-leg,Right-leg,Left-arm,Right-arm,Bag,Scarf"
)
FACE = (
    "background,skin,nose,eye_g,l_eye,r_eye,l_brow,r_brow,l_ear,r_ear,mouth,u_lip,l_lip,hair,hat,"
    "ear_r,neck_l,neck,cloth"
)
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

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4}
    vision |= {"num_attention_heads": 4, "image_size": 64, "patch_size": 16}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "eos_token_id": 49407, "bos_token_id": 49406}
    config = transformers.CLIPSegConfig(
        text_config=text, vision_config=vision, projection_dim=32, reduce_dim=16,
        extract_layers=[0, 1, 2], decoder_num_attention_heads=4, decoder_intermediate_size=64,
    )  # fmt: skip
    words = Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer"
    processor = transformers.CLIPSegProcessor(
        transformers.ViTImageProcessor(size={"height": 64, "width": 64}),
        transformers.CLIPTokenizer.from_pretrained(words),
    )
    model = transformers.CLIPSegForImageSegmentation(config)
    _save(models / "segmentation/small_clipseg", model, processor)


def _segformer(folder: Path, labels: str) -> None:
    import transformers

    names = dict(enumerate(labels.split(",")))
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[16, 16, 32, 32], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=32, id2label=names, label2id={name: n for n, name in names.items()},
    )  # fmt: skip
    images = transformers.SegformerImageProcessor(size={"height": 128, "width": 128})
    _save(folder, transformers.SegformerForSemanticSegmentation(config), images)


def clothes(models: Path) -> None:
    """segmentation/small_clothes: SegFormer with the labels of segformer_b2_clothes"""
    _segformer(models / "segmentation/small_clothes", CLOTHES)


def face_parsing(models: Path) -> None:
    """segmentation/small_face_parsing: SegFormer with the labels of face-parsing"""
    _segformer(models / "segmentation/small_face_parsing", FACE)


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

    swin = transformers.SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=4, image_size=128,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = {"model_type": "bert", "vocab_size": 1100, "hidden_size": 32, "num_hidden_layers": 1}
    bert |= {"num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=64, decoder_ffn_dim=64, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=30, disable_custom_kernels=True,
    )  # fmt: skip
    model = transformers.GroundingDinoForObjectDetection(config)
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

    backbone = {"hidden_size": 16, "num_attention_heads": 1, "blocks_per_stage": [1, 1, 2, 1]}
    backbone |= {"embed_dim_per_stage": [16, 32, 64, 128], "global_attention_blocks": [3]}
    backbone |= {"num_attention_heads_per_stage": [1, 2, 4, 8], "image_size": [128, 128]}
    backbone |= {"model_type": "sam2_hiera_det_model"}
    vision = {"backbone_config": backbone, "backbone_channel_list": [128, 64, 32, 16]}
    vision |= {"fpn_hidden_size": 32, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}
    prompt = {"hidden_size": 32, "image_size": 128}
    decoder = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2}
    decoder |= {"iou_head_hidden_dim": 32}
    config = transformers.Sam2Config(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    images = transformers.Sam2ImageProcessor(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )
    processor = transformers.Sam2Processor(images)
    _save(models / "segmentation/small_sam2", transformers.Sam2Model(config), processor)


MAKERS = [clipseg, clothes, face_parsing, grounding_dino, sam2]
