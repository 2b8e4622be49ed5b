"""Graphs round BreakRegionalPrompt, for the live tests of it."""

import numpy as np

DOCUMENTED = (
    "Glamour aristocrat party 2girl BREAK Zeiss Canon Mark D5, wallpaper, photorealistic, detailed "
    "skin BREAK (ohwx woman) <lora:849330:1> BREAK (ohwx woman) <lora:861629:1>"
)
NEGATIVE = "hat, open mouth, text, oversaturated, ugly, 3d, render, cartoon"


def sampled(model, positive, negative, size=(192, 128), seed=1, batch=1, cfg=7.0) -> dict:
    return {
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": size[0], "height": size[1], "batch_size": batch},
        },
        "sample": {
            "class_type": "KSampler",
            "inputs": {
                "model": model, "positive": positive, "negative": negative,
                "latent_image": ["latent", 0], "seed": seed, "steps": 2, "cfg": cfg,
                "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            },
        },
        "decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["sample", 0], "vae": ["checkpoint", 2]},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["decode", 0], "filename_prefix": "live/regional"},
        },
    }  # fmt: skip


CHECKPOINT = {
    "class_type": "CheckpointLoaderSimple",
    "inputs": {"ckpt_name": "small_sd15.safetensors"},
}


def regional(text=DOCUMENTED, negative=NEGATIVE, more=None, links=None, **sampling) -> dict:
    settings = {
        "method": "fused", "weights": "a1111", "base_strength": 0.2, "feather": 0.06,
        "layout": "columns", "order": "", "start": 0.0, "end": 1.0, "on_missing": "error",
        **(more or {}),
    }  # fmt: skip
    return {
        "checkpoint": CHECKPOINT,
        "people": {
            "class_type": "BreakRegionalPrompt",
            "inputs": {
                "model": ["checkpoint", 0], "clip": ["checkpoint", 1], "text": text,
                "negative": negative, **settings, **(links or {}),
            },
        },
        **sampled(["people", 0], ["people", 1], ["people", 2], **sampling),
    }  # fmt: skip


def pixels(result, index=0) -> np.ndarray:
    return np.asarray(result.images[index].convert("RGB")).astype(float)


def masks_node(count: int, value: float = 1.0) -> dict:
    graph = {
        f"mask{i}": {
            "class_type": "SolidMask",
            "inputs": {"value": value, "width": 64, "height": 64},
        }
        for i in range(count)
    }
    graph["masks"] = {
        "class_type": "BatchMasksNode",
        "inputs": {f"masks.mask{i}": [f"mask{i}", 0] for i in range(count)},
    }
    return graph
