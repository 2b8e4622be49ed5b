"""Astria's prompt text -> Recipe.

`prompt --flag value … key=value …`: the prompt may hold BREAKs, tags and flags; settings follow,
on its line or on their own. A value runs to the next setting; empty means unset.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ..prompt.errors import PromptError
from ..prompt.flags import Flag, FlagKind, take_flags
from ..prompt.grammar import OneBreakError
from ..prompt.reading import read_prompt
from . import readers
from .checking import Checker, control_character, is_unset, nearest
from .problems import Reading
from .recipe import Recipe, Service
from .settings import ASTRIA_FLAGS, ASTRIA_SETTINGS, Setting

_KEY = re.compile(r"(?:(?P<line>^[ \t]*)|(?<!\S))(?P<key>[A-Za-z][A-Za-z0-9_]*)=", re.MULTILINE)
_SETTINGS = {setting.key: setting for setting in ASTRIA_SETTINGS}
_FLAGS = {setting.key: setting for setting in ASTRIA_FLAGS}
_KINDS = {readers.switch: FlagKind.SWITCH, readers.number: FlagKind.NUMBER}
_KINDS |= {readers.dilate: FlagKind.AMOUNT}
_SPEC = {setting.key: _KINDS.get(setting.read, FlagKind.TEXT) for setting in ASTRIA_FLAGS}
_MOST_PROBLEMS = 20


def read_astria(text: str, *, strict: bool = False) -> Reading:
    """Read a text as pasted. Offsets in problems count without BOM and with `\\n` line ends."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    checker = Checker(text, strict=strict)
    if checker.is_too_long("text"):
        return checker.reading(None)
    if (control := control_character(text)) is not None:
        checker.error("text", f"has a control character, {text[control]!a}; delete it", control)
    keys = _keys(text)
    key = next(keys, None)
    written = text[: key.start()] if key else text
    prompt, flags = _take_flags(written, checker)
    for flag in flags:
        _put(_FLAGS[flag.name], _flag_value(flag), flag.start, checker)
    seen: set[str] = set()
    while key and not checker.full:
        following = next(keys, None)
        raw = text[key.end() : following.start() if following else len(text)]
        _read_setting(key, raw.strip(), seen, checker)
        key = following
    recipe = replace(Recipe(Service.ASTRIA, prompt=prompt.strip()), **checker.values)
    _check_prompt(recipe, checker, written, flags)
    return checker.reading(recipe)


def _keys(text: str) -> Iterator[re.Match[str]]:
    """Where settings begin: at a known key anywhere, at an unknown one only at a line's start.

    The first line is the prompt's, so `x=1` there is prompt text.
    """
    first = len(text) - len(text.lstrip())
    settings_began = False
    for found in _KEY.finditer(text):
        known = found["key"] in _SETTINGS
        starts_line = found["line"] is not None
        if known or (starts_line and (settings_began or found.start("key") > first)):
            settings_began = True
            yield found


def _take_flags(prompt: str, checker: Checker) -> tuple[str, tuple[Flag, ...]]:
    """Like prompt.flags.take_flags, but goes on after a bad flag to find the others."""
    for _ in range(_MOST_PROBLEMS):
        try:
            return take_flags(prompt, _SPEC)
        except PromptError as error:
            message = str(error).partition(" (line ")[0]
            checker.error("flag", message, error.offset)
            good, bad = prompt[: error.offset], prompt[error.offset :]
            prompt = good + re.sub(r"\S+", lambda word: " " * len(word[0]), bad, count=1)
    return prompt, ()


def _flag_value(flag: Flag) -> str:
    if _SPEC[flag.name] is FlagKind.SWITCH:
        return "true" if flag.on else "false"
    if _FLAGS[flag.name].read is not readers.phrases:
        return flag.value
    return " ".join(f'"{word}"' if re.search(r"[\s,]", word) else word for word in flag.words)


def _read_setting(key: re.Match[str], raw: str, seen: set[str], checker: Checker) -> None:
    offset = key.start("key")
    setting = _SETTINGS.get(key["key"])
    if setting is None:
        name = key["key"][:60]
        checker.error(name, f"unknown setting; {nearest(name, _SETTINGS)}", offset)
    elif setting.key in seen:
        checker.error(setting.key, "is given twice; keep one", offset)
    elif not is_unset(setting, raw):
        _put(setting, raw, offset, checker)
    seen.add(key["key"])


def _put(setting: Setting, raw: str, offset: int, checker: Checker) -> None:
    value = checker.check(setting, raw, offset)
    if value is None:
        return
    if setting.field is None:
        checker.warning(setting.key, f"does {setting.acts}", offset)
    elif checker.values.setdefault(setting.field, value) != value:
        checker.error(setting.key, "disagrees with the same setting above; keep one", offset)


def _place(offset: int, prompt: str, written: str, flags: tuple[Flag, ...]) -> int | None:
    """Where the prompt's `offset` is in the text that the flags were taken out of; None where the
    prompt is not what lies between them."""
    starts, ends = (
        [0, *(flag.end for flag in flags)],
        [*(flag.start for flag in flags), len(written)],
    )
    at, place = 0, None
    pieces: list[str] = []
    for start, end in zip(starts, ends, strict=True):
        piece = written[start:end].strip()
        if not piece:
            continue
        if place is None and offset <= at + len(piece):
            place = written.index(piece, start) + offset - at
        pieces.append(piece)
        at += len(piece) + 1
    return place if " ".join(pieces) == prompt else None


def _check_prompt(recipe: Recipe, checker: Checker, written: str, flags: tuple[Flag, ...]) -> None:
    """Check the grammar of prompt and negative. Where flags were taken out, the offset is unknown."""
    reading = read_prompt(recipe.prompt, recipe.negative)

    def mended(error: Exception) -> dict[str, str]:
        if not isinstance(error, OneBreakError):
            return {}
        place = _place(error.insert_at, recipe.prompt, written, flags)
        text = checker.text
        return {} if place is None else {"mended": text[:place] + error.insert + text[place:]}

    texts = {"text": ("prompt", recipe.prompt), "negative": ("negative_prompt", recipe.negative)}
    for problem in reading.problems:
        setting, part = texts[problem.input]
        start = checker.text.find(part)
        error = problem.error
        message = str(error).rpartition(" (line ")[0]
        offset = getattr(error, "offset", 0)
        checker.error(setting, message, start + offset if start >= 0 else None, **mended(error))
    if reading.doubt:
        start = checker.text.find(recipe.prompt)
        message = str(reading.doubt).rpartition(" (line ")[0]
        offset = start + reading.doubt.offset if start >= 0 else None
        checker.warning("prompt", message, offset, **mended(reading.doubt))
    if not recipe.prompt and not recipe.input_image:
        checker.error("prompt", "is empty; write what the picture shows, or name an input picture")
