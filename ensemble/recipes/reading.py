"""A pasted text of either service -> a Recipe."""

from dataclasses import dataclass

from .problems import Problem, RecipeError, Severity
from .recipe import Recipe


@dataclass(frozen=True)
class Reading:
    """What was understood. `recipe` is None where there is an error among the problems."""

    recipe: Recipe | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.WARNING)

    def require(self) -> Recipe:
        """The recipe, or RecipeError with every error."""
        if self.recipe is None:
            raise RecipeError(self.errors)
        return self.recipe


def read_recipe(text: str, *, strict: bool = False) -> Reading:
    """Read a JSON body (it starts with `{`) or Astria's text.

    `strict` binds to the service's ranges.
    """
    from .astria import read_astria
    from .json_body import read_json

    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return read_json(text, strict=strict)
    return read_astria(text, strict=strict)
