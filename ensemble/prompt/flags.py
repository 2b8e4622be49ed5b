"""Inline `--flag value …` in a prompt, as hosted services write their settings."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from .errors import PromptError, shown
from .tags import parse_number

# A flag starts a word: `--mask_dilate`, not the dash in `day--night` nor one that stands alone.
_FLAG = re.compile(r"(?<!\S)--([A-Za-z][\w-]*)(?:=|(?!\S))", re.ASCII)
_GLUED = re.compile(r"--([A-Za-z][\w-]*)(?:=|(?!\S))", re.ASCII)
_STOP = re.compile(r"(?<!\S)(?:--[A-Za-z]|BREAK(?!\S))")
# Outside quotes a tag ends the words: `--mask_prompt hat <lora:ann:1>`.
_WORD = re.compile(
    r"""\s*(?:"(?P<double>[^"]*)"(?![^\s<])|'(?P<single>[^']*)'(?![^\s<])|(?P<bare>[^\s<]+))"""
)
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


class FlagKind(Enum):
    SWITCH = "nothing, or true or false"
    NUMBER = "one number"
    AMOUNT = "one number or percentage"
    TEXT = "words"


@dataclass(frozen=True)
class Flag:
    """One flag: `name` with underscores, `words` with quoted phrases kept whole and quotes gone.

    `start` and `end` are offsets in the text it was taken from.
    """

    name: str
    words: tuple[str, ...]
    start: int
    end: int

    @property
    def value(self) -> str:
        return " ".join(self.words)

    @property
    def on(self) -> bool:
        """Whether a SWITCH is set; a bare one is."""
        return not self.words or self.words[0].lower() in _TRUE

    @property
    def number(self) -> float:
        """The number of a NUMBER or AMOUNT, without its percent sign."""
        return float(self.words[0].removesuffix("%"))

    @property
    def percent(self) -> bool:
        return bool(self.words) and self.words[0].endswith("%")


def take_flags(text: str, spec: Mapping[str, FlagKind]) -> tuple[str, tuple[Flag, ...]]:
    """The text without its flags, and the flags in order.

    A value runs to the next `--flag`, the next `<`, the next BREAK or the end; `--flag=value` is the
    same. `spec` names the known flags, with underscores. An unknown or repeated flag, an open quote, or a value
    that does not fit is a PromptError.
    """
    flags: list[Flag] = []
    kept: list[str] = []
    at = 0
    # Straight behind a value a flag needs no space before it.
    while found := (_GLUED.match(text, at) if flags else None) or _FLAG.search(text, at):
        flag = _read(text, found, spec)
        if any(flag.name == other.name for other in flags):
            raise PromptError(f"Flag --{flag.name} is given twice", text, flag.start)
        flags.append(flag)
        kept.append(text[at : flag.start].strip())
        at = flag.end
    if not flags:
        return text, ()
    kept.append(text[at:].strip())
    return " ".join(piece for piece in kept if piece), tuple(flags)


def _read(text: str, found: re.Match[str], spec: Mapping[str, FlagKind]) -> Flag:
    name = found[1].replace("-", "_").lower()
    if name not in spec:
        near = difflib.get_close_matches(name[:60], spec, n=3, cutoff=0.5)
        hint = f"; did you mean --{', --'.join(near)}?" if near else f"; known: {', '.join(spec)}"
        raise PromptError(f"Unknown flag --{shown(name)[1:-1]}{hint}", text, found.start())
    words: list[str] = []
    end = found.end()
    while (word := _WORD.match(text, end)) and not _STOP.match(
        text, word.start(word.lastgroup or 0)
    ):
        if word["bare"] and word["bare"][0] == '"':
            raise PromptError(f"Flag --{name}: a quote is never closed", text, word.start("bare"))
        end = _end_of(word, spec)
        words.append(text[word.start("bare") : end] if word["bare"] else word[word.lastgroup or 0])
        if end < word.end():
            break
    flag = Flag(name, tuple(words), found.start(), end)
    if not _fits(flag, spec[name]):
        raise PromptError(
            f"Flag --{name} takes {spec[name].value}, not {shown(flag.value)}", text, found.start()
        )
    return flag


def _end_of(word: re.Match[str], spec: Mapping[str, FlagKind]) -> int:
    """Where a word ends: before a known flag written straight behind it, `hat--mask_invert`."""
    if word["bare"]:
        glued = _GLUED.search(word.string, word.start("bare") + 1, word.end())
        if glued and glued[1].replace("-", "_").lower() in spec:
            return glued.start()
    return word.end()


def _fits(flag: Flag, kind: FlagKind) -> bool:
    if kind is FlagKind.TEXT:
        return bool(flag.words)
    if kind is FlagKind.SWITCH:
        return not flag.words or (len(flag.words) == 1 and flag.value.lower() in _TRUE + _FALSE)
    value = flag.value.removesuffix("%") if kind is FlagKind.AMOUNT else flag.value
    return len(flag.words) == 1 and parse_number(value) is not None
