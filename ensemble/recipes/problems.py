"""What is wrong with a recipe's text, all of it at once, and what was understood of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from .recipe import Recipe


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    severity: Severity
    # The key as the user wrote it.
    setting: str
    message: str
    # Characters of the text before it; line and column count from 1.
    offset: int | None = None
    line: int | None = None
    column: int | None = None
    # The whole text with this mended, where it is known how.
    mended: str | None = None

    def __str__(self) -> str:
        place = f" (line {self.line}, column {self.column})" if self.line else ""
        return f"{self.setting}: {self.message}{place}"


class RecipeError(ValueError):
    """The input cannot be used; `problems` lists every reason."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class Reading:
    # None where there is an error among the problems.
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
