"""SAM 3 through ComfyUI's own model: any phrase, every instance of it."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..models.loading import find_file, load_once
from .backend import Backend, Job, ModelFile, Sockets, Softness, ranks
from .words import open_phrase

# The model looks at squares of this size, whatever the picture's shape (core's SAM3_Detect).
INPUT_SIZE = 1008
# Objects kept per phrase. Core's text encoder reads ":N" and would stop at one without it.
MAX_OBJECTS = 20
# Pictures per forward: one is 5184 tokens through a ViT of 450 M parameters.
CHUNK = 4

FILE = ModelFile(
    "sam3.1_multiplex_fp16.safetensors", "checkpoints", "huggingface.co/Comfy-Org/sam3.1"
)


def find(sockets: Sockets) -> Any:
    if sockets.sam3_model is not None and sockets.sam3_clip is not None:
        return sockets.sam3_model, sockets.sam3_clip
    return find_file("checkpoints", "sam3*.safetensors")


def _load(path: Path) -> tuple[Any, Any]:
    import comfy.sd

    model, clip = comfy.sd.load_checkpoint_guess_config(
        str(path), output_vae=False, output_clip=True
    )[:2]
    return model, clip


def encode(clip: Any, words: tuple[str, ...]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Embedding `[1,T,1024]` and token mask `[1,T]` of each phrase."""
    phrases = (open_phrase(word).replace(",", " ").replace(":", " ") for word in words)
    text = ", ".join(f"{phrase}:{MAX_OBJECTS}" for phrase in phrases)
    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    return [
        (entry["cond"], entry["attention_mask"]) for entry in conditioning[0][1]["sam3_multi_cond"]
    ]


def segment(found: Any, job: Job) -> torch.Tensor:
    from comfy import model_management, utils

    model, clip = load_once("sam3", found, _load) if isinstance(found, Path) else found
    texts = encode(clip, job.words)
    model_management.load_model_gpu(model)
    device, dtype = model.load_device, model.model.get_dtype()
    squares = utils.common_upscale(
        job.image.movedim(-1, 1), INPUT_SIZE, INPUT_SIZE, "bilinear", crop="disabled"
    )
    net = model.model.diffusion_model
    masks = []
    for chunk in squares.split(CHUNK):
        model_management.throw_exception_if_processing_interrupted()
        masks.append(detect(net, chunk.to(device, dtype), texts, job))
    return torch.cat(masks, dim=1)


def detect(net: Any, squares: torch.Tensor, texts: list, job: Job) -> torch.Tensor:
    """`[B,3,1008,1008]` -> `[len(texts),B,H,W]`: the picture goes through the trunk once, for all
    phrases, positive and negative alike."""
    detector = net.detector
    trunk = detector.backbone["vision_backbone"].trunk(squares)
    resizer = detector.backbone["language_backbone"]["resizer"]
    masks = []
    for embedding, tokens in texts:
        embedding = resizer(embedding.to(trunk))
        out = detector.forward_from_trunk(trunk, embedding, tokens.to(trunk.device))
        masks.append(combine(out["scores"], out["masks"], job.threshold, job.size))
    return torch.stack(masks)


def combine(
    scores: torch.Tensor, logits: torch.Tensor, threshold: float, size: tuple[int, int]
) -> torch.Tensor:
    """Scores `[B,Q]` and mask logits `[B,Q,h,w]` of Q candidates -> soft masks `[B,H,W]`.

    The best MAX_OBJECTS candidates whose probability passes the threshold are joined.
    """
    joined = []
    for score, masks in zip(scores.float().sigmoid(), logits.float(), strict=True):
        best = score.topk(min(MAX_OBJECTS, len(score)))
        kept = masks[best.indices[best.values > threshold]]
        if len(kept):
            large = F.interpolate(kept[None], size, mode="bilinear", align_corners=False)[0]
            joined.append(large.sigmoid().amax(dim=0))
        else:
            joined.append(masks.new_zeros(size))
    return torch.stack(joined)


BACKEND = Backend(
    id="sam3",
    title="SAM 3",
    files=(FILE,),
    licence="SAM License (Meta; commercial use allowed, with exclusions)",
    softness=Softness.EDGE,
    fit=ranks({"foreground": 0.4}, other=0.9),
    find=find,
    segment=segment,
)
