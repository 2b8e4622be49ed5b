"""`@ann` in a recipe: its people in place, and what they add to the negative."""

from dataclasses import replace

from ..prompt.cast import Cast, expand, expand_negative
from ..prompt.errors import PromptError
from .problems import Problem, Reading, RecipeError, Severity
from .recipe import Recipe


def with_cast(recipe: Recipe, cast: Cast) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe with its people, and their names. Raises RecipeError where somebody is nobody."""
    try:
        found = expand(recipe.prompt, cast)
        negative = expand(recipe.negative, cast).text
        negative = expand_negative(negative, recipe.prompt, cast)
    except PromptError as error:
        problem = Problem(
            Severity.ERROR, "prompt", str(error), error.offset, error.line, error.column
        )
        raise RecipeError([problem]) from error
    names = tuple(member.name for member in found.people)
    return replace(recipe, prompt=found.text, negative=negative), names


def cast_reading(reading: Reading, cast: Cast) -> Reading:
    """A reading with its people in place; who is nobody is one of its problems."""
    if reading.recipe is None or not cast.members:
        return reading
    try:
        recipe, _ = with_cast(reading.recipe, cast)
    except RecipeError as error:
        return Reading(None, (*reading.problems, *error.problems))
    return Reading(recipe, reading.problems)
