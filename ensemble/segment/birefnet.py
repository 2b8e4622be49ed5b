"""BiRefNet through ComfyUI's own loader: what stands in front."""

from pathlib import Path
from typing import Any

import torch

from ..models.loading import find_file, load_once
from .backend import Backend, Job, ModelFile, Sockets, Softness, ranks

FILE = ModelFile("birefnet.safetensors", "background_removal", "huggingface.co/Comfy-Org/BiRefNet")


def find(sockets: Sockets) -> Any:
    if sockets.background_removal is not None:
        return sockets.background_removal
    return find_file("background_removal", "birefnet*", "*")


def _load(path: Path) -> Any:
    from comfy.bg_removal_model import load

    model = load(str(path))
    if model is None:
        raise ValueError(
            f"models/background_removal/{path.name} is no background-removal model that ComfyUI "
            f"knows: use {FILE}."
        )
    return model


def segment(found: Any, job: Job) -> torch.Tensor:
    model = load_once("birefnet", found, _load) if isinstance(found, Path) else found
    return model.encode_image(job.image).float().expand(len(job.words), -1, -1, -1)


BACKEND = Backend(
    id="birefnet",
    title="BiRefNet",
    files=(FILE,),
    licence="MIT",
    softness=Softness.MATTE,
    fit=ranks({"foreground": 1.0, "person": 0.6}),
    find=find,
    segment=segment,
)
