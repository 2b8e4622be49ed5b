"""Raw values of settings -> checked values for the Recipe."""

import difflib
import re
from collections.abc import Iterable

from .problems import Problem, Reading, Severity
from .readers import UNSET, Scalar, text
from .recipe import Recipe
from .settings import Setting

MAX_TEXT = 1_000_000
MOST_PROBLEMS = 100
# PHP writes the slashes of JSON strings as "\/".
_PICTURE = re.compile(r"data:image\\?/[a-z]{1,5};base64,[A-Za-z0-9+/=\\]*", re.IGNORECASE)
# Below space but tab and newlines, DEL, and halves of surrogate pairs, which JSON can spell.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def is_unset(setting: Setting, raw: Scalar | None) -> bool:
    if raw is None:
        return True
    if not isinstance(raw, str):
        return False
    word = raw.strip().lower()
    # In free text "none" is a word.
    return word in UNSET and not (setting.read is text and word == "none")


def control_character(value: str) -> int | None:
    """Offset of the first character that no prompt or name can hold."""
    found = _CONTROL.search(value)
    return found.start() if found else None


class Checker:
    """Checks the settings of one text: right values go into `values`, by the Recipe's fields, and as
    many problems as a person would read into `found`.

    With `strict` the service's own ranges bind; else going beyond them is a warning.
    """

    def __init__(self, text: str, *, strict: bool) -> None:
        self.text = text
        self.found: list[Problem] = []
        self.values: dict[str, object] = {}
        self._strict = strict

    @property
    def full(self) -> bool:
        return len(self.found) >= MOST_PROBLEMS

    def error(self, setting: str, message: str, offset: int | None = None, **more: str) -> None:
        self._add(Severity.ERROR, setting, message, offset, **more)

    def warning(self, setting: str, message: str, offset: int | None = None, **more: str) -> None:
        self._add(Severity.WARNING, setting, message, offset, **more)

    def _add(
        self, severity: Severity, setting: str, message: str, offset: int | None, **more: str
    ) -> None:
        if self.full:
            return
        line = column = None
        if offset is not None:
            line = self.text.count("\n", 0, offset) + 1
            column = offset - self.text.rfind("\n", 0, offset)
        self.found.append(Problem(severity, setting, message, offset, line, column, **more))

    def reading(self, recipe: Recipe | None) -> Reading:
        """The outcome: no recipe where there was an error."""
        failed = any(problem.severity is Severity.ERROR for problem in self.found)
        return Reading(None if failed else recipe, tuple(self.found))

    def is_too_long(self, setting: str) -> bool:
        """Whether the text is longer than is read, which is noted; pictures in data URLs do not
        count.
        """
        if len(self.text) <= MAX_TEXT or len(_PICTURE.sub("", self.text)) <= MAX_TEXT:
            return False
        self.error(
            setting,
            f"has {len(self.text):,} characters; at most {MAX_TEXT:,} are read, pictures aside",
        )
        return True

    def check(self, setting: Setting, raw: Scalar, offset: int | None) -> object | None:
        """The value for the Recipe, or None after an error was noted."""
        try:
            value = setting.read(raw)
        except ValueError as reason:
            self.error(setting.key, f"{reason}, not {shown(raw)}", offset)
            return None
        if not isinstance(value, int | float | tuple) or isinstance(value, bool):
            return value
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not self._in_range(setting, number, offset):
                return None
        if setting.multiple > 1 and isinstance(value, int) and value % setting.multiple:
            return self._to_multiple(setting, value, offset)
        return value

    def _in_range(self, setting: Setting, number: float, offset: int | None) -> bool:
        if _outside(number, setting.least, setting.most):
            limits = f"between {setting.least:g} and {setting.most:g}"
            self.error(setting.key, f"must be {limits}, not {number:g}", offset)
            return False
        if _outside(number, setting.low, setting.high):
            low = setting.least if setting.low is None else setting.low
            message = f"{number:g} is outside the service's range, {low:g} to {setting.high:g}"
            if self._strict:
                self.error(setting.key, message, offset)
                return False
            self.warning(setting.key, f"{message}; it is used as written", offset)
        return True

    def _to_multiple(self, setting: Setting, value: int, offset: int | None) -> int | None:
        step = setting.multiple
        if self._strict:
            self.error(setting.key, f"must be divisible by {step}, not {value}", offset)
            return None
        rounded = max(round(value / step), 2) * step
        message = f"{value} is not divisible by {step}; {rounded} is used"
        self.warning(setting.key, message, offset)
        return rounded


def _outside(number: float, low: float | None, high: float | None) -> bool:
    return (low is not None and number < low) or (high is not None and number > high)


def shown(value: object) -> str:
    """`value` for a message, cut and with control characters escaped."""
    found = ascii(value) if isinstance(value, str) else str(value)
    return found if len(found) <= 80 else f"{found[:77]}..."


def nearest(key: str, known: Iterable[str]) -> str:
    """`did you mean …` for a misspelt key, or the list of the known ones."""
    keys = list(known)
    found = difflib.get_close_matches(key[:60], keys, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(found)}?" if found else f"known are {', '.join(keys)}"
