"""First stage: checkpoint, VAE, LoRAs for everyone, and the patches that change how it samples."""

from .build import Build, Flow
from .graph import Link
from .recipe import Service
from .schedulers import find

# tomesd's own default; core's node starts at 0.3.
MERGED_TOKENS = 0.5


def add_models(build: Build) -> Flow:
    """The checkpoint, with the recipe's VAE."""
    recipe = build.recipe
    name = recipe.model or build.options.checkpoint or "default"
    setting = "model_id" if recipe.service is Service.LORA_MULTI else "checkpoint"
    file = build.find("checkpoints", name, setting)
    flow = load_checkpoint(build, file or name)
    if recipe.vae and (file := build.find("vae", recipe.vae, "vae")):
        flow.vae = build.graph.add("VAELoader", "vae", "VAE", vae_name=file)[0]
    return flow


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
