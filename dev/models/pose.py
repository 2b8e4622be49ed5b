"""Folders for photo poses: ViTPose and RT-DETR, transformers' own classes, small."""

from pathlib import Path
from typing import Any

import torch

from .checkpoint import config

# COCO's 17 joints of an upright figure, in eighths of its box down and sixths across.
_FIGURE = [
    (0.7, 3.0), (0.5, 3.2), (0.5, 2.8), (0.6, 3.6), (0.6, 2.4), (1.6, 4.2), (1.6, 1.8), (2.6, 4.6),
    (2.6, 1.4), (3.5, 4.7), (3.5, 1.3), (4.0, 3.7), (4.0, 2.3), (5.6, 3.8), (5.6, 2.2), (7.3, 3.8),
    (7.3, 2.2),
]  # fmt: skip


def randomise(model: torch.nn.Module, seed: int) -> None:
    # The libraries' start values are so small that every picture gives the same answer.
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        shape = parameter.shape
        spread = 0.3 if len(shape) < 2 else 1.0 / max(1, shape[1:].numel()) ** 0.5
        parameter.data = torch.randn(shape, generator=generator) * spread


def _vitpose(patch: int, hidden: int) -> Any:
    from transformers import VitPoseForPoseEstimation

    shape = config("vitpose")
    shape.backbone_config.update({"patch_size": [patch, patch], "hidden_size": hidden})
    return VitPoseForPoseEstimation(shape)


def _save_vitpose(folder: Path, model: Any) -> None:
    from transformers import VitPoseImageProcessor

    model.save_pretrained(folder)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)


def make_vitpose(folder: Path) -> None:
    """Random weights: joints anywhere, but other ones in other pictures."""
    model = _vitpose(16, 32)
    randomise(model, 1)
    _save_vitpose(folder, model)


def make_rtdetr(folder: Path) -> None:
    import transformers

    model = transformers.RTDetrForObjectDetection(config("rt_detr"))
    randomise(model, 2)
    model.save_pretrained(folder)
    images = transformers.RTDetrImageProcessor(size={"height": 64, "width": 64})
    images.save_pretrained(folder)


@torch.no_grad()
def vitpose(models: Path) -> None:
    """pose_estimation/small_vitpose: ViTPose that sees one upright figure in every box"""
    model = _vitpose(8, 64)
    for name, parameter in model.named_parameters():
        parameter.fill_("layernorm" in name.lower() and name.endswith("weight"))
    # Each place is a channel of its own; a joint's map is high in the channels round it.
    places = model.backbone.embeddings.position_embeddings
    places[0, 1:] = torch.eye(48, 64)
    y, x = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(6) + 0.5, indexing="ij")
    for joint, (down, across) in enumerate(_FIGURE):
        near = torch.exp(-((y - down) ** 2 + (x - across) ** 2)).flatten()
        model.head.conv.weight[joint, :48, 1, 1] = near / 8
    _save_vitpose(models / "pose_estimation" / "small_vitpose", model)


def rtdetr(models: Path) -> None:
    """pose_estimation/small_rtdetr: RT-DETR that knows persons, bicycles and cars"""
    make_rtdetr(models / "pose_estimation" / "small_rtdetr")


MAKERS = [vitpose, rtdetr]
