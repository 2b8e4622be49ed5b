"""A recipe made small, to try its wiring out: same graph, fewer pixels, steps and pictures."""

from dataclasses import dataclass, replace

from .recipe import Recipe


@dataclass(frozen=True)
class Shrink:
    """What to make smaller; None leaves the recipe's own. Sizes in pixels before upscaling."""

    width: int | None = None
    height: int | None = None
    steps: int | None = None
    pictures: int | None = None


def shrink_recipe(recipe: Recipe, shrink: Shrink) -> tuple[Recipe, dict[str, str]]:
    """The small recipe, and for the report what was changed: `{"steps": "30 -> 2"}`."""
    fields = {
        name: value
        for name in ("width", "height", "steps", "pictures")
        if (value := getattr(shrink, name)) is not None and value != getattr(recipe, name)
    }
    changes = {
        name: f"{getattr(recipe, name) or 'default'} -> {value}" for name, value in fields.items()
    }
    return replace(recipe, **fields), changes
