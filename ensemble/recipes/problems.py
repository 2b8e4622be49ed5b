"""What is wrong with an input, all of it at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """`setting` is the key as the user wrote it; `offset` counts characters of the input from 0."""

    severity: Severity
    setting: str
    message: str
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


MOST_PROBLEMS = 100


class Notes:
    """Collects the problems of one text while it is read, as many as a person would read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.problems: list[Problem] = []

    @property
    def full(self) -> bool:
        return len(self.problems) >= MOST_PROBLEMS

    @property
    def failed(self) -> bool:
        return any(problem.severity is Severity.ERROR for problem in self.problems)

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
        self.problems.append(Problem(severity, setting, message, offset, line, column))
