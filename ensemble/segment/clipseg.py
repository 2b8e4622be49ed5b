"""CLIPSeg: a small model that turns any phrase into a blurry map of where it is."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..models.loading import find_folder, load_folder
from .backend import FOLDER, Backend, Job, ModelFile, Sockets, Softness, ranks
from .words import open_phrase

# Pictures per forward; each costs about 60 MB of activations at CLIPSeg's 352 pixels.
CHUNK = 8


def find(sockets: Sockets) -> Path | None:
    return find_folder(FOLDER, lambda config: config.get("model_type") == "clipseg")


def segment(found: Path, job: Job) -> torch.Tensor:
    loaded = load_folder(FOLDER, found, "CLIPSegForImageSegmentation")
    model, device = loaded.on_device()
    # The decoder reads none of the vision tower's last layers (two of twelve as published).
    del model.clip.vision_model.encoder.layers[max(model.extract_layers) + 1 :]
    tokens = loaded.processor.tokenizer(
        [open_phrase(word) for word in job.words], padding=True, return_tensors="pt"
    ).to(device)
    pixels = loaded.processor.image_processor(job.pictures(), return_tensors="pt")
    with torch.inference_mode():
        phrases = model.get_conditional_embeddings(
            batch_size=len(job.words),
            input_ids=tokens["input_ids"],
            attention_mask=tokens["attention_mask"],
        )
        maps = [
            heat(model, chunk.to(device), phrases) for chunk in pixels["pixel_values"].split(CHUNK)
        ]
        logits = torch.cat(maps, dim=1)
        return F.interpolate(logits, job.size, mode="bilinear", align_corners=False).sigmoid()


def heat(model: Any, pixels: torch.Tensor, phrases: torch.Tensor) -> torch.Tensor:
    """Logits `[W,B,352,352]` of W phrases in B pictures.

    The library's forward runs the vision tower once per picture and phrase; here the pictures go
    through it once, and only the small decoder runs for each phrase.
    """
    seen = model.clip.vision_model(
        pixel_values=pixels, output_hidden_states=True, interpolate_pos_encoding=True
    )
    layers = [seen.hidden_states[layer + 1] for layer in model.extract_layers]
    maps = []
    for phrase in phrases:
        logits = model.decoder(layers, phrase.expand(len(pixels), -1)).logits
        maps.append(logits.reshape(len(pixels), *logits.shape[-2:]))
    return torch.stack(maps)


BACKEND = Backend(
    id="clipseg",
    title="CLIPSeg",
    files=(ModelFile.folder_of("CIDAS/clipseg-rd64-refined"),),
    licence="Apache-2.0",
    softness=Softness.HEAT,
    fit=ranks({"foreground": 0.1}, other=0.4),
    find=find,
    segment=segment,
    threshold=0.4,
)
