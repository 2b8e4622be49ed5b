"""Errors of prompt text and of node inputs, one by one or all at once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Read = TypeVar("Read")


class PromptError(ValueError):
    """Prompt text that cannot be read; the message ends with where, for a person counting in an
    editor.

    `offset` counts characters from 0; `line` and `column` count from 1.
    """

    def __init__(self, problem: str, text: str, offset: int) -> None:
        self.offset = offset
        self.line = text.count("\n", 0, offset) + 1
        self.column = offset - (text.rfind("\n", 0, offset) + 1) + 1
        super().__init__(
            f"{problem} (line {self.line}, column {self.column}, offset {self.offset})"
        )


@dataclass(frozen=True)
class InputProblem:
    """An error, and the node input that it is about."""

    input: str
    error: ValueError


class InputProblems(list[InputProblem]):
    """Collects what is wrong with a node's inputs while reading goes on."""

    def attempt(self, source: str, read: Callable[[], Read]) -> Read | None:
        """What `read` returns, or None after noting the ValueError it raised for input `source`."""
        try:
            return read()
        except ValueError as error:
            self.append(InputProblem(source, error))
            return None


def raise_first(problems: tuple[InputProblem, ...]) -> None:
    """Raise the error of the first problem, if there is one."""
    for problem in problems:
        # Readings are kept and raise one error many times: without this its traceback would grow.
        raise problem.error.with_traceback(None)


def shown(value: str, limit: int = 60) -> str:
    """`value` quoted for a message: control characters escaped, long text cut."""
    return repr(value if len(value) <= limit else value[: limit - 1] + "…")
