"""The error of every parser of prompt text."""


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


def shown(value: str, limit: int = 60) -> str:
    """`value` quoted for a message: control characters escaped, long text cut."""
    return repr(value if len(value) <= limit else value[: limit - 1] + "…")
