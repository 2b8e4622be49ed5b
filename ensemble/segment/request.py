"""The widgets of the node and the flags in its text -> one request."""

from dataclasses import dataclass, field, replace
from typing import Any

from ..prompt.flags import Flag, FlagKind, take_flags
from ..regions.masks import Length, parse_length
from .registry import AUTO
from .words import split_words

FLAGS = {
    "mask_prompt": FlagKind.TEXT,
    "mask_negative": FlagKind.TEXT,
    "mask_invert": FlagKind.SWITCH,
    "mask_dilate": FlagKind.AMOUNT,
}


@dataclass(frozen=True)
class MaskRequest:
    words: tuple[str, ...]
    negative: tuple[str, ...] = ()
    invert: bool = False
    dilate: Length = field(default_factory=Length)
    feather: Length = field(default_factory=Length)
    # 0: each backend's own.
    threshold: float = 0.0
    backend: str = AUTO
    # A share of the selection's area.
    fill_holes: float = 0.0
    # A share of the area of the selection's largest part.
    drop_islands: float = 0.0


def read_request(
    *, words: str, negative: str = "", dilate: str = "", feather: str = "", **plain: Any
) -> MaskRequest:
    """The node's widgets as a request; a flag in the text wins over its widget. `plain` are fields
    of MaskRequest that need no reading.

    Raises ValueError naming the input or the flag that cannot be read.
    """
    width = parse_length(feather, "feather")
    if width.value < 0:
        raise ValueError(f'feather = "{feather}" is negative: give a width of 0 or more.')
    text, flags = take_flags(words, FLAGS)
    request = MaskRequest(
        words=split_words(text),
        negative=split_words(negative),
        dilate=parse_length(dilate, "dilate"),
        feather=width,
        **plain,
    )
    for flag in flags:
        request = _apply(request, flag)
    return request


def _apply(request: MaskRequest, flag: Flag) -> MaskRequest:
    match flag.name:
        case "mask_prompt":
            # What stands beside --mask_prompt is the picture's prompt, not a word of the mask.
            return replace(request, words=_words(flag))
        case "mask_negative":
            return replace(request, negative=_words(flag))
        case "mask_invert":
            return replace(request, invert=flag.on)
        case _:
            return replace(request, dilate=Length(flag.number, flag.percent))


def _words(flag: Flag) -> tuple[str, ...]:
    quoted = (f'"{word}"' if " " in word else word for word in flag.words)
    return split_words(" ".join(quoted))
