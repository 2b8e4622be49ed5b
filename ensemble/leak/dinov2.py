"""DINOv2 (Oquab et al. 2023), which sees structure of any kind: also faces that are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..models.loading import config_of, find_folder, load_folder
from ..segment.backend import ModelFile
from .embedder import FOLDER, Embedder, View

CLASSES = {"dinov2": "Dinov2Model", "dinov2_with_registers": "Dinov2WithRegistersModel"}
# Faces per forward.
CHUNK = 8


@dataclass(frozen=True)
class DinoV2:
    id: str = "dinov2"
    title: str = "DINOv2"
    files: tuple[ModelFile, ...] = (
        ModelFile("dinov2-base/ (a folder)", FOLDER, "huggingface.co/facebook/dinov2-base"),
    )
    licence: str = "Apache-2.0"
    # Not calibrated: crops of two strangers share what all faces share.
    threshold: float = 0.5

    def find(self) -> Path | None:
        return find_folder(FOLDER, lambda config: config.get("model_type") in CLASSES)

    def embed(self, found: Path, views: Sequence[View]) -> torch.Tensor:
        """The class token after the last norm, for each face's crop."""
        kind = CLASSES[config_of(FOLDER, found)["model_type"]]
        loaded = load_folder(FOLDER, found, kind, "AutoImageProcessor")
        model, device = loaded.on_device()
        crops = [view.crop().movedim(-1, 0) for view in views]
        pixels = loaded.processor(crops, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            parts = [model(chunk.to(device)).pooler_output.cpu() for chunk in pixels.split(CHUNK)]
        return torch.cat(parts)


EMBEDDER: Embedder = DinoV2()
