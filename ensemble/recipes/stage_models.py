"""First stage: checkpoint, VAE, LoRAs for everyone, and the patches that change how it samples."""

from .build import Build, Flow
from .choose_model import DIFFUSION, ENCODERS, encoders_and_vae
from .families import ModelFamily
from .graph import Link
from .recipe import Service
from .schedulers import find

# tomesd's own default; core's node starts at 0.3.
MERGED_TOKENS = 0.5


def add_models(build: Build) -> Flow:
    """The checkpoint or the files of a family, with the recipe's VAE."""
    recipe, model = build.recipe, build.model
    setting = "model_id" if recipe.service is Service.LORA_MULTI else "checkpoint"
    if model.folder == DIFFUSION and model.family and model.file:
        flow = _load_parts(build, model.family, model.file)
    else:
        # Found again, for the report or for the words of what is missing.
        file = build.find(model.folder, model.parts[0] if model.parts else model.name, setting)
        flow = load_checkpoint(build, file or model.name)
    family = model.family
    if family and family.shift is not None:
        shifted = {"model": flow.model, "shift": family.shift}
        flow.model = build.graph.add("ModelSamplingAuraFlow", "shift", "Shift", **shifted)[0]
    if recipe.vae and (file := build.find("vae", recipe.vae, "vae")):
        flow.vae = build.graph.add("VAELoader", "vae", "VAE", vae_name=file)[0]
    return flow


def _load_parts(build: Build, family: ModelFamily, file: str) -> Flow:
    """A diffusion model, its text encoders and its VAE, each a file of its own."""
    graph, model = build.graph, build.model
    found, missing = encoders_and_vae(model, family, build.library)
    build.missing += missing
    build.use(DIFFUSION, model.name, file)
    *encoders, vae = found if not missing else [""] * (len(family.encoders) + 1)
    for each in encoders:
        build.use(ENCODERS, model.name, each)
    build.use("vae", model.name, vae)
    unet = graph.add("UNETLoader", "model", family.name, unet_name=file, weight_dtype="default")
    kind = {"type": family.clip_type}
    if len(encoders) == 1:
        clip = graph.add("CLIPLoader", "clip", "Text Encoder", clip_name=encoders[0], **kind)
    else:
        names = {f"clip_name{number}": each for number, each in enumerate(encoders, 1)}
        clip = graph.add("DualCLIPLoader", "clip", "Text Encoders", **names, **kind)
    loaded = graph.add("VAELoader", "model_vae", "VAE", vae_name=vae)
    return Flow(model=unet[0], clip=clip[0], vae=loaded[0])


def load_checkpoint(build: Build, file: str, key: str = "", who: str = "") -> Flow:
    """`key` and `who` begin the node's key and end its title."""
    loader = build.graph.add(
        "CheckpointLoaderSimple", f"{key}checkpoint", f"Checkpoint{who}", ckpt_name=file
    )
    return Flow(model=loader[0], clip=loader[1], vae=loader[2])


def add_loras(build: Build, flow: Flow, prompt: str) -> str | Link:
    """LoRAs that act on the whole picture; the prompt without their tags.

    The names go into the node as they were written: it finds the files by the same rules.
    """
    recipe = build.recipe
    strengths = recipe.lora_strengths or (1.0,)
    if len(strengths) != len(recipe.loras):
        strengths = strengths[:1] * len(recipe.loras)
    names = list(zip(recipe.loras, strengths, strict=True))
    needed = find(recipe.scheduler).lora if recipe.scheduler else None
    if needed:
        names.append((needed, 1.0))
        build.notes.append(f"scheduler {recipe.scheduler}: its LoRA {needed!r} is loaded with it")
    used = [(name, weight) for name, weight in names if build.find("loras", name, "lora_model")]
    if not used:
        return prompt
    loader = build.graph.add(
        "MultiLoraLoader",
        "loras",
        "LoRAs",
        model=flow.model,
        clip=flow.clip,
        loras=", ".join(f'"{name}"' if "," in name else name for name, _ in used),
        strengths=", ".join(f"{weight:g}" for _, weight in used),
        prompt=prompt,
        on_missing="error",
    )
    flow.model, flow.clip = loader[0], loader[1]
    return loader[2]


def add_sampling_patches(build: Build, flow: Flow) -> None:
    """Clip skip, token merging, self-attention guidance, panorama: all on clones, all from core but
    the last."""
    recipe, graph = build.recipe, build.graph

    def patch(class_type: str, key: str, title: str, **inputs: float) -> None:
        flow.model = graph.add(class_type, key, title, model=flow.model, **inputs)[0]

    if recipe.clip_skip and recipe.clip_skip > 1:
        layer = {"clip": flow.clip, "stop_at_clip_layer": -recipe.clip_skip}
        title = f"Clip Skip {recipe.clip_skip}"
        flow.clip = graph.add("CLIPSetLastLayer", "clip_skip", title, **layer)[0]
    if recipe.token_merging:
        patch("TomePatchModel", "tomesd", "Token Merging", ratio=MERGED_TOKENS)
    if recipe.self_attention:
        patch("SelfAttentionGuidance", "self_attention", "Self-Attention Guidance")
    if recipe.panorama:
        wide = graph.add("EnsemblePanorama", "panorama", "Panorama", model=flow.model, vae=flow.vae)
        flow.model, flow.vae = wide[0], wide[1]
