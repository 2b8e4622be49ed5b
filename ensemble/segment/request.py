"""The widgets of the node and the flags in its text -> one request."""

from dataclasses import dataclass, field, replace

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
    """What to select and what to do with it. `threshold` 0: each backend's own. `fill_holes` and
    `drop_islands` are shares of the selection's area and of its largest part."""

    words: tuple[str, ...]
    negative: tuple[str, ...] = ()
    invert: bool = False
    dilate: Length = field(default_factory=Length)
    feather: Length = field(default_factory=Length)
    threshold: float = 0.0
    backend: str = AUTO
    fill_holes: float = 0.0
    drop_islands: float = 0.0


def read_request(
    words: str,
    negative: str,
    invert: bool,
    dilate: str,
    feather: str,
    threshold: float,
    backend: str,
    fill_holes: float,
    drop_islands: float,
) -> MaskRequest:
    """The node's widgets as a request; a flag in the text wins over its widget.

    Raises ValueError naming the input or the flag that cannot be read.
    """
    width = parse_length(feather, "feather")
    if width.value < 0:
        raise ValueError(f'feather = "{feather}" is negative: give a width of 0 or more.')
    text, flags = take_flags(words, FLAGS)
    request = MaskRequest(
        words=split_words(text),
        negative=split_words(negative),
        invert=invert,
        dilate=parse_length(dilate, "dilate"),
        feather=width,
        threshold=threshold,
        backend=backend,
        fill_holes=fill_holes,
        drop_islands=drop_islands,
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
