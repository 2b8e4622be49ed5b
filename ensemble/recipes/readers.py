"""Readers of single values: what a service writes as text or JSON -> a Python value.

A reader takes a string, number or bool and raises ValueError with a reason a user understands.
Unset values (`null`, empty, `undefined`) never reach a reader.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from ..prompt.tags import parse_number

Scalar: TypeAlias = str | int | float | bool
Reader: TypeAlias = Callable[[Scalar], object]

_LONGEST_NUMBER = 60
UNSET = ("", "null", "undefined", "none")
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DILATE = re.compile(r"([+-]?\d{1,5}(?:\.\d{1,5})?)\s*(%?)", re.ASCII)
_TRUE = ("true", "yes", "1", "on")
_FALSE = ("false", "no", "0", "off")


def text(value: Scalar) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value.strip()


def phrases(value: Scalar) -> str:
    """Words, and phrases in double quotes, as MaskFromPrompt splits them."""
    return text(value)


def switch(value: Scalar) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("must be yes or no, true or false")


def integer(value: Scalar) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    raise ValueError("must be a whole number")


def number(value: Scalar) -> float:
    found = value
    if isinstance(value, str) and len(value) < _LONGEST_NUMBER:
        found = parse_number(value.strip())
    # The bound also keeps nan, inf and integers too long for a float out.
    if isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < 1e15:
        return float(found)
    raise ValueError("must be a number")


def names(value: Scalar) -> tuple[str, ...]:
    """Comma-separated names; a name that holds a comma stands in double quotes."""
    found = [quoted or plain.strip() for quoted, plain in _LISTED.findall(text(value))]
    return tuple(name(each) for each in found if each)


_LISTED = re.compile(r'"([^"]*)"|([^",]+)')


def numbers(value: Scalar) -> tuple[float, ...]:
    """Numbers separated by commas or spaces."""
    if not isinstance(value, str):
        return (number(value),)
    return tuple(number(field) for field in re.split(r"[,\s]+", value.strip()))


def words(value: Scalar) -> tuple[str, ...]:
    return tuple(text(value).split())


def upscale(value: Scalar) -> int:
    """`no`, `yes` (twice the size) or the factor 1, 2, 3."""
    word = str(value).strip().lower()
    if word in ("1", "2", "3"):
        return int(word)
    return 2 if switch(value) else 1


def dilate(value: Scalar) -> str:
    """Signed pixels or percent, as MaskFromPrompt takes it: `-20`, `15%`."""
    found = _DILATE.fullmatch(str(value).strip())
    if not found:
        raise ValueError("must be pixels or percent, like -20 or 15%")
    return f"{float(found[1]):g}{found[2]}"


def name(value: Scalar) -> str:
    """A name of a file, never a path out of its folder."""
    found = text(value)
    segments = re.split(r"[/\\]", found)
    if ".." in segments or segments[0] == "" or ":" in segments[0]:
        raise ValueError(
            "must be a name inside ComfyUI's folders, without '..', drive or leading '/'"
        )
    return found


def picture(value: Scalar) -> str:
    """A URL, a data URL, or a name in ComfyUI's input folder."""
    found = text(value)
    if found.startswith(("http://", "https://", "data:image/")):
        return found
    return name(found)


def choice(*choices: str) -> Reader:
    def read(value: Scalar) -> str:
        found = text(value)
        for known in choices:
            if found.lower() == known.lower():
                return known
        raise ValueError(f"must be one of {', '.join(choices)}")

    return read
