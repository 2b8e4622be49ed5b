"""Models beside Stable Diffusion that recipes compile to: one entry says all there is to know of each.

Files, encoders, latents and numbers are those of ComfyUI's own templates for these models. A new model
is an entry, and its place in FAMILIES: a narrow one before a wide one.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from .recipe import Recipe


@dataclass(frozen=True)
class Union:
    """The family's ControlNet for several kinds of maps. word: pattern in its file's path. file: the
    public one. folder: `model_patches` where core loads it as a change of the model."""

    word: str
    file: str
    folder: str = "controlnet"


UNION_KINDS = ("openpose", "canny", "depth")
"""What each of them is trained for; core tells none of them which map it is given."""


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """word: pattern in a file's name or in its metadata's architecture, in small letters; no part of a
    longer word, as `klein` is of calvinklein. encoders and vae: patterns at
    the start of the names of files that belong to it. clip_type: of CLIPLoader or DualCLIPLoader.
    latent: node id of the empty latent. shift: of ModelSamplingAuraFlow, where core's own is not the
    template's. guidance: of FluxGuidance. own_steps: a node that spaces the steps by the picture's size.
    emphasis: whether the text encoder knows `(word:1.2)`. side: px of the pictures it was trained on.
    union: where core loads one that needs no word of which map it is given. references: whether any of its
    models takes people's pictures (`<ref:NAME>`).
    """

    name: str
    word: str
    encoders: tuple[str, ...]
    clip_type: str
    vae: str
    steps: int
    cfg: float
    latent: str = "EmptySD3LatentImage"
    sampler: str = "euler"
    scheduler: str = "simple"
    shift: float | None = None
    guidance: float | None = None
    own_steps: str | None = None
    emphasis: bool = False
    side: int = 1024
    union: Union | None = None
    references: bool = False


_KLEIN = r"(?<![a-z])flux.*(?<![a-z])klein(?![a-z])"
_QWEN_3_4B = r"qwen_?3_?4b"
_FLUX_1: dict[str, Any] = {
    "encoders": (r"clip_l", r"t5xxl"), "clip_type": "flux", "vae": r"ae\.|flux_?1?[-_](ae|vae)",
    "cfg": 1.0, "emphasis": True,
    # Those before 2.0 want the number of the map's kind, which core cannot give them.
    "union": Union(r"flux.*union.*pro.*2", "FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors"),
}  # fmt: skip
_FLUX_2: dict[str, Any] = {
    "clip_type": "flux2", "vae": r"flux[-_]?2[-_]vae|full_encoder_small_decoder",
    "latent": "EmptyFlux2LatentImage", "own_steps": "Flux2Scheduler", "references": True,
}  # fmt: skip
_Z_IMAGE: dict[str, Any] = {"encoders": (_QWEN_3_4B,), "clip_type": "lumina2", "vae": r"ae\."}
_TURBO = Union(
    r"z[-_ ]?image[-_ ]?turbo.*union",
    "Z-Image-Turbo-Fun-Controlnet-Union.safetensors",
    "model_patches",
)
_BASE = Union(
    r"z[-_ ]?image(?![-_ ]?turbo).*union",
    "Z-Image-Fun-Controlnet-Union.safetensors",
    "model_patches",
)
_QWEN_IMAGE = Union(r"qwen.*union", "Qwen-Image-InstantX-ControlNet-Union.safetensors")
# fmt: off
FAMILIES = (
    ModelFamily(name="Z-Image Turbo", word=r"(?<![a-z])z[-_ ]?image[-_ ]?turbo", steps=8, cfg=1.0, sampler="res_multistep",
        union=_TURBO, **_Z_IMAGE),
    ModelFamily(name="Z-Image", word=r"(?<![a-z])z[-_ ]?image(?![a-z])", steps=25, cfg=4.0, sampler="res_multistep", union=_BASE,
        **_Z_IMAGE),
    ModelFamily(name="Krea 2", word=r"(?<![a-z])krea[-_ ]?2(?!\d)", encoders=(r"qwen_?3_?vl_?4b",), clip_type="krea2",
        vae=r"qwen_image_vae", latent="EmptyLatentImage", steps=8, cfg=1.0),
    ModelFamily(name="Flux.2 Klein 9B base", word=_KLEIN + r".*(base.*9b|9b.*base)", encoders=(r"qwen_?3_?8b",),
        steps=20, cfg=5.0, **_FLUX_2),
    ModelFamily(name="Flux.2 Klein 9B", word=_KLEIN + r".*9b", encoders=(r"qwen_?3_?8b",), steps=4, cfg=1.0, **_FLUX_2),
    ModelFamily(name="Flux.2 Klein base", word=_KLEIN + r".*base", encoders=(_QWEN_3_4B,), steps=20, cfg=5.0, **_FLUX_2),
    ModelFamily(name="Flux.2 Klein", word=_KLEIN, encoders=(_QWEN_3_4B,), steps=4, cfg=1.0, **_FLUX_2),
    ModelFamily(name="Flux.2 dev", word=r"(?<![a-z])flux[-_. ]?2(?!\d)", encoders=(r"mistral",), steps=20, cfg=1.0, guidance=4.0,
        **_FLUX_2),
    ModelFamily(name="Flux.1 schnell", word=r"(?<![a-z])flux(?![a-z]).*(?<![a-z])schnell|(?<![a-z])fluxschnell", steps=4, **_FLUX_1),
    ModelFamily(name="Flux.1", word=r"(?<![a-z])flux(dev)?(?![a-z])", steps=20, **_FLUX_1),
    ModelFamily(name="Qwen-Image", word=r"(?<![a-z])qwen[-_ ]?image(?![a-z])", encoders=(r"qwen_?2\.?5_?vl_?7b",), clip_type="qwen_image",
        vae=r"qwen_image_vae", steps=20, cfg=4.0, shift=3.1, union=_QWEN_IMAGE),
)
# fmt: on


def recognise(file: str, architecture: str) -> ModelFamily | None:
    """The family of a model by what its metadata calls it; by the name of its file where that says
    nothing."""
    text = architecture.strip() or file.replace("\\", "/").rpartition("/")[2]
    return next((each for each in FAMILIES if re.search(each.word, text.lower())), None)


def fitting(pattern: str, files: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the files, in any folder, whose name begins with the pattern."""
    return tuple(
        f for f in files if re.match(pattern, f.replace("\\", "/").rpartition("/")[2].lower())
    )


# Settings that act on Stable Diffusion's UNet or CLIP alone.
_UNET_ONLY = {
    "clip_skip": "has no CLIP to skip layers of",
    "token_merging": "has no token merging in ComfyUI",
    "self_attention": "has no self-attention guidance in ComfyUI",
    "panorama": "has no seamless edges here",
}


def restricted(recipe: Recipe, family: ModelFamily) -> tuple[Recipe, dict[str, str]]:
    """The filled recipe without what the family cannot do; recipe field -> why, of those that were
    asked for."""
    told = {
        field: f"{family.name} {why}"
        for field, why in _UNET_ONLY.items()
        if (getattr(recipe, field) or 0) > (field == "clip_skip")
    }
    if not family.emphasis and recipe.embeddings:
        told["embeddings"] = f"{family.name} reads texts with a language model, which takes none"
    if recipe.negative and (recipe.cfg or 0) <= 1:
        told["negative"] = f"{family.name} at cfg {recipe.cfg:g} has no negative"
    if not recipe.scheduler:
        for field in ("karras", "algorithm"):
            if getattr(recipe, field):
                told[field] = (
                    f"the noise levels are {family.name}'s own where no scheduler is named"
                )
    emptied = {
        **dict.fromkeys(_UNET_ONLY),
        "karras": None if not recipe.scheduler else recipe.karras,
    }
    if "embeddings" in told:
        emptied["embeddings"] = ()
    return replace(recipe, **emptied), told
