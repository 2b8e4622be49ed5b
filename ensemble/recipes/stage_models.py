"""First stage: checkpoint, VAE, LoRAs for everyone, and the patches that change how it samples."""

from .build import Build, Flow
from .graph import Link
from .recipe import Service
from .schedulers import find

# tomesd's own default; core's node starts at 0.3.
MERGED_TOKENS = 0.5


def add_models(build: Build) -> Flow:
    """The model everything starts from."""
    recipe, graph = build.recipe, build.graph
    name = recipe.model or build.options.checkpoint or "default"
    setting = "model_id" if recipe.service is Service.LORA_MULTI else "checkpoint"
    file = build.find("checkpoints", name, setting)
    loader = graph.add("CheckpointLoaderSimple", "checkpoint", "Checkpoint", ckpt_name=file or name)
    flow = Flow(model=loader[0], clip=loader[1], vae=loader[2])
    if recipe.vae and (file := build.find("vae", recipe.vae, "vae")):
        flow.vae = graph.add("VAELoader", "vae", "VAE", vae_name=file)[0]
    return flow


def add_loras(build: Build, flow: Flow, prompt: str) -> str | Link:
    """LoRAs that act on the whole picture; the prompt without their tags.

    The names go into the node as they were written: it finds the files by the same rules.
    """
    recipe = build.recipe
    names = [(name, 1.0) for name in recipe.loras]
    if len(recipe.lora_strengths) == len(recipe.loras):
        names = list(zip(recipe.loras, recipe.lora_strengths, strict=True))
    elif recipe.lora_strengths:
        names = [(name, recipe.lora_strengths[0]) for name in recipe.loras]
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
    if recipe.clip_skip and recipe.clip_skip > 1:
        flow.clip = graph.add(
            "CLIPSetLastLayer",
            "clip_skip",
            f"Clip Skip {recipe.clip_skip}",
            clip=flow.clip,
            stop_at_clip_layer=-recipe.clip_skip,
        )[0]
    if recipe.token_merging:
        flow.model = graph.add(
            "TomePatchModel", "tomesd", "Token Merging", model=flow.model, ratio=MERGED_TOKENS
        )[0]
    if recipe.self_attention:
        flow.model = graph.add(
            "SelfAttentionGuidance",
            "self_attention",
            "Self-Attention Guidance",
            model=flow.model,
            scale=0.5,
            blur_sigma=2.0,
        )[0]
    if recipe.panorama:
        wide = graph.add("EnsemblePanorama", "panorama", "Panorama", model=flow.model, vae=flow.vae)
        flow.model, flow.vae = wide[0], wide[1]
