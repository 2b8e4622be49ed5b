"""What the user chose for names that are not on their machine: another file, or none."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..prompt.tags import find_tags, without_tags
from .choose_model import DEFAULT
from .recipe import Recipe, Task
from .stage_picture import last_part

# (folder, the name as the recipe has it) -> a file of that folder, or None to leave it out.
Choices = Mapping[tuple[str, str], str | None]


def with_choices(recipe: Recipe, choices: Choices) -> Recipe:
    """The recipe with other names. Leaving a picture out leaves out what acts on it alone."""
    if not choices:
        return recipe

    def pick(folder: str) -> Callable[[str | None], str | None]:
        return lambda name: None if name is None else choices.get((folder, name), name)

    def picture(name: str | None) -> str | None:
        return None if name is None else choices.get(("images", last_part(name) or name), name)

    lora = pick("loras")
    named_model = ("checkpoints", recipe.model or DEFAULT) in choices
    kept = [
        (named, strength)
        for name, strength in _with_strengths(recipe)
        if (named := lora(name)) is not None
    ]
    source, mask = picture(recipe.input_image), picture(recipe.mask_image)
    embeddings = [pick("embeddings")(name) for name in recipe.embeddings]
    return replace(
        recipe,
        prompt=_with_tags(recipe.prompt, lora),
        negative=_with_tags(recipe.negative, lora),
        task=_task_of(recipe, source, mask),
        model=pick("checkpoints")(recipe.model or DEFAULT) if named_model else recipe.model,
        vae=pick("vae")(recipe.vae),
        loras=tuple(name for name, _ in kept),
        lora_strengths=tuple(strength for _, strength in kept if strength is not None),
        embeddings=tuple(name for name in embeddings if name is not None),
        input_image=source,
        mask_image=mask if source else None,
    )


def _task_of(recipe: Recipe, source: str | None, mask: str | None) -> Task:
    """The call that is left without pictures that were left out."""
    if recipe.task is Task.TEXT or source is None:
        return Task.TEXT
    return recipe.task if mask or not recipe.mask_image else Task.IMAGE


def _with_strengths(recipe: Recipe) -> list[tuple[str, float | None]]:
    """One strength for all stays one for each."""
    strengths: list[float | None] = list(recipe.lora_strengths)
    if len(strengths) == 1:
        strengths *= len(recipe.loras)
    strengths += [None] * (len(recipe.loras) - len(strengths))
    return list(zip(recipe.loras, strengths, strict=False))


def _with_tags(text: str, named: Callable[[str | None], str | None]) -> str:
    tags = list(find_tags(text))
    for tag in reversed(tags):
        name = named(tag.name)
        if name == tag.name:
            continue
        if name is None:
            text = without_tags(text, [tag])
        else:
            text = f"{text[: tag.start]}<lora:{name}:{tag.weight:g}:{tag.clip_weight:g}>{text[tag.end :]}"
    return text
