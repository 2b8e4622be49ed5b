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
    """An error or warning about one setting."""

    severity: Severity
    # The key as the user wrote it.
    setting: str
    message: str
    # Characters of the text before it; line and column count from 1.
    offset: int | None = None
    line: int | None = None
    column: int | None = None

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
    """What was understood of a text."""

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


MOST_PROBLEMS = 100


class Problems:
    """Collects the problems of one text while it is read, as many as a person would read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[Problem] = []

    @property
    def full(self) -> bool:
        return len(self.found) >= MOST_PROBLEMS

    def error(self, setting: str, message: str, offset: int | None = None) -> None:
        self._add(Severity.ERROR, setting, message, offset)

    def warning(self, setting: str, message: str, offset: int | None = None) -> None:
        self._add(Severity.WARNING, setting, message, offset)

    def _add(self, severity: Severity, setting: str, message: str, offset: int | None) -> None:
        if self.full:
            return
        line = column = None
        if offset is not None:
            line = self.text.count("\n", 0, offset) + 1
            column = offset - self.text.rfind("\n", 0, offset)
        self.found.append(Problem(severity, setting, message, offset, line, column))

    def reading(self, recipe: Recipe | None) -> Reading:
        """The outcome: no recipe where there was an error."""
        failed = any(problem.severity is Severity.ERROR for problem in self.found)
        return Reading(None if failed else recipe, tuple(self.found))
