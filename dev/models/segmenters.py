"""Folders for the text-mask backends: transformers' own classes, small and with random weights."""

import shutil
from pathlib import Path

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


def _randomise(model: torch.nn.Module) -> None:
    # transformers' own start values are so small that every picture gives the same mask.
    model.load_state_dict(random_weights(model))


def _save(folder: Path, model: torch.nn.Module, processor) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _clip_tokenizer():
    import comfy.sd1_clip
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(Path(comfy.sd1_clip.__file__).parent / "sd1_tokenizer")


def clipseg(models: Path) -> None:
    """segmentation/small_clipseg: CLIPSeg with CLIP's own tokenizer"""
    from transformers import (
        CLIPSegConfig,
        CLIPSegForImageSegmentation,
        CLIPSegProcessor,
        ViTImageProcessor,
    )

    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4}
    vision |= {"num_attention_heads": 4, "image_size": 64, "patch_size": 16}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "eos_token_id": 49407, "bos_token_id": 49406}
    config = CLIPSegConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=32,
        reduce_dim=16,
        extract_layers=[0, 1, 2],
        decoder_num_attention_heads=4,
        decoder_intermediate_size=64,
    )
    model = CLIPSegForImageSegmentation(config)
    _randomise(model)
    images = ViTImageProcessor(size={"height": 64, "width": 64})
    _save(models / "segmentation/small_clipseg", model, CLIPSegProcessor(images, _clip_tokenizer()))


def _segformer(folder: Path, labels: str) -> None:
    from transformers import (
        SegformerConfig,
        SegformerForSemanticSegmentation,
        SegformerImageProcessor,
    )

    names = dict(enumerate(labels.split(",")))
    config = SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[16, 16, 32, 32],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=32,
        id2label=names,
        label2id={name: number for number, name in names.items()},
    )
    model = SegformerForSemanticSegmentation(config)
    _randomise(model)
    _save(folder, model, SegformerImageProcessor(size={"height": 128, "width": 128}))


def clothes(models: Path) -> None:
    """segmentation/small_clothes: SegFormer with the labels of segformer_b2_clothes"""
    _segformer(models / "segmentation/small_clothes", CLOTHES)


def face_parsing(models: Path) -> None:
    """segmentation/small_face_parsing: SegFormer with the labels of face-parsing"""
    _segformer(models / "segmentation/small_face_parsing", FACE)


def _bert_tokenizer(folder: Path):
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
    from transformers import (
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    swin = SwinConfig(
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        window_size=4,
        image_size=128,
        out_features=["stage2", "stage3", "stage4"],
    )
    bert = {"model_type": "bert", "vocab_size": 1100, "hidden_size": 32, "num_hidden_layers": 1}
    bert |= {"num_attention_heads": 2, "intermediate_size": 64}
    config = GroundingDinoConfig(
        backbone_config=swin,
        text_config=bert,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=30,
        disable_custom_kernels=True,
    )
    folder = models / "segmentation/small_grounding_dino"
    images = GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 200})
    model = GroundingDinoForObjectDetection(config)
    _randomise(model)
    # A score is a product with this norm's output: at its full size every box would be certain.
    with torch.no_grad():
        model.model.decoder.layer_norm.weight.mul_(0.2)
    tokenizer = _bert_tokenizer(folder)
    _save(folder, model, GroundingDinoProcessor(images, tokenizer))


def sam2(models: Path) -> None:
    """segmentation/small_sam2: SAM 2 for pictures on a small Hiera"""
    from transformers import Sam2Config, Sam2ImageProcessor, Sam2Model, Sam2Processor

    backbone = {"hidden_size": 16, "num_attention_heads": 1, "blocks_per_stage": [1, 1, 2, 1]}
    backbone |= {"embed_dim_per_stage": [16, 32, 64, 128], "global_attention_blocks": [3]}
    backbone |= {
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "model_type": "sam2_hiera_det_model",
    }
    backbone |= {"image_size": [128, 128]}
    vision = {"backbone_config": backbone, "backbone_channel_list": [128, 64, 32, 16]}
    vision |= {"fpn_hidden_size": 32, "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]]}
    prompt = {"hidden_size": 32, "image_size": 128}
    decoder = {
        "hidden_size": 32,
        "mlp_dim": 64,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 32,
    }
    config = Sam2Config(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    images = Sam2ImageProcessor(
        size={"height": 128, "width": 128}, mask_size={"height": 32, "width": 32}
    )
    model = Sam2Model(config)
    _randomise(model)
    _save(models / "segmentation/small_sam2", model, Sam2Processor(images))


MAKERS = [clipseg, clothes, face_parsing, grounding_dino, sam2]
