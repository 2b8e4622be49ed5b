"""What a graph or a recipe needs: files, affinity, input pictures, and how much work it is."""

from collections.abc import Iterator
from typing import Any

from ..prompt.tags import TAG
from ..recipes.recipe import Recipe
from .job import Needs

Graph = dict[str, dict[str, Any]]
WEIGHTS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".mp4", ".webm")
# Inputs that name the base model, on core's loaders and the usual ones of others.
_BASE = ("ckpt_name", "unet_name", "model_name", "diffusion_model", "checkpoint")
_LORAS = ("lora_name", "loras")
_USUAL_SIDE, _USUAL_STEPS = 512, 20


def graph_needs(graph: Graph) -> Needs:
    """Read off literal inputs; what comes over a link is known only when it runs."""
    files, models, loras, pictures = set(), set(), set(), []
    for name, value in _texts(graph):
        lower = value.lower()
        if lower.endswith(WEIGHTS) and "\n" not in value:
            files.add(value)
            if name in _BASE:
                models.add(value)
        if name in _LORAS and value:
            loras.add(value)
        elif "<lora:" in lower:
            loras.update(tag[1] for tag in TAG.finditer(value))
        elif name in ("image", "video", "mask") and lower.endswith(_PICTURES):
            pictures.append(value)
    return Needs(
        model="|".join(sorted(models)),
        loras="|".join(sorted(loras)),
        files=frozenset(files),
        pictures=tuple(dict.fromkeys(pictures)),
        work=_graph_work(graph),
    )


def recipe_needs(recipe: Recipe, checkpoint: str | None = None) -> Needs:
    """`checkpoint` is for a recipe that names none."""
    loras = {tag[1] for text in (recipe.prompt, recipe.negative) for tag in TAG.finditer(text)}
    loras.update(
        f"{name}:{strength}"
        for name, strength in zip(recipe.loras, _strengths(recipe), strict=False)
    )
    steps = recipe.steps or _USUAL_STEPS
    pixels = (recipe.width or _USUAL_SIDE) * (recipe.height or _USUAL_SIDE)
    return Needs(
        model=recipe.model or checkpoint or "",
        loras="|".join(sorted(loras)),
        pictures=tuple(filter(None, (recipe.input_image, recipe.mask_image))),
        work=float(pixels * steps * (recipe.pictures or 1)),
    )


def _strengths(recipe: Recipe) -> tuple[float, ...]:
    if len(recipe.lora_strengths) == len(recipe.loras):
        return recipe.lora_strengths
    return (recipe.lora_strengths or (1.0,))[:1] * len(recipe.loras)


def _texts(graph: Graph) -> Iterator[tuple[str, str]]:
    for node in graph.values():
        for name, value in node.get("inputs", {}).items():
            if isinstance(value, str):
                yield name, value


def _graph_work(graph: Graph) -> float:
    """Pixels of the largest canvas x steps of all samplers x the largest batch."""
    pixels, steps, batch = 0, 0, 1
    for node in graph.values():
        inputs = node.get("inputs", {})
        width, height = _whole(inputs, "width"), _whole(inputs, "height")
        pixels = max(pixels, width * height)
        steps += _whole(inputs, "steps")
        batch = max(batch, _whole(inputs, "batch_size"))
    return float((pixels or _USUAL_SIDE**2) * (steps or _USUAL_STEPS) * batch)


def _whole(inputs: dict[str, Any], name: str) -> int:
    value = inputs.get(name)
    return value if type(value) is int and value > 0 else 0
