"""A machine's files and nodes, as data."""

from collections.abc import Mapping

from ensemble_portraits.ensemble.lora.names import resolve_among
from ensemble_portraits.ensemble.recipes.library import Library

FILES: dict[str, tuple[str, ...]] = {
    "checkpoints": ("small_sd15.safetensors", "other_sd15.safetensors"),
    "loras": ("people/ohwx_first.safetensors", "people/ohwx_second.safetensors", "lcm.safetensors",
              "ganyu-lora.safetensors", "more_details.safetensors"),
    "embeddings": ("badhandv4.pt",),
    "vae": ("fine.safetensors",),
    "controlnet": ("control_canny.safetensors", "control_openpose.safetensors", "control_tile.pth"),
    "upscale_models": ("4x_small.safetensors",),
    "facerestore_models": ("GFPGANv1.4.pth",),
    "safety_checker": ("small",),
    "translation": ("small",),
    "images": ("skeleton.png", "portrait.png", "mask.png"),
}  # fmt: skip
ALIASES: dict[str, dict[str, str]] = {
    "checkpoints": {
        "default": "small_sd15.safetensors",
        "f222-diffusion": "small_sd15.safetensors",
    },
    "loras": {
        "849330": "people/ohwx_first.safetensors",
        "861629": "people/ohwx_second.safetensors",
    },
    "images": {
        "2vxpjloxggnv9s4tw33ckn5xzdnp": "skeleton.png",
        "d6ff3soq5pok5tlbcanf599vkw06": "portrait.png",
    },
}
NODES = frozenset(
    [
        "PoseControlInput",
        "FaceInpaint",
        "EnsembleFaceRestore",
        "EnsembleFaceSwap",
        "EnsembleHires",
        "EnsemblePasteBack",
        "EnsembleColorGrade",
        "FilmGrain",
    ]
)


def machine(files: Mapping[str, tuple[str, ...]] = FILES, nodes: frozenset = NODES) -> Library:
    def find(name: str, kind: str) -> str:
        return resolve_among(name, files.get(kind, ()), ALIASES.get(kind, {}), kind=kind)

    return Library(files, nodes, find)
