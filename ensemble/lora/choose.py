"""What a node's text asks for -> files and strengths, checked before anything is loaded."""

import csv
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from ..prompt.errors import shown
from ..prompt.tags import TAG, LoraTag, parse_number, take_tags
from .files import files_fingerprint, find_lora, folder_fingerprint
from .merge import LoraChoice
from .names import UnresolvedNameError

log = logging.getLogger(__name__)

_LINES = re.compile(r"[\r\n]+")


class OnMissing(str, Enum):
    """What to do about a name that is no file."""

    ERROR = "error"
    SKIP = "skip"


@dataclass(frozen=True)
class Skipped:
    """A LoRA left out because `on_missing` is skip."""

    name: str
    reason: str


@dataclass(frozen=True)
class Chosen:
    """`choices` in the order they apply; `prompt` without its tags."""

    choices: tuple[LoraChoice, ...]
    skipped: tuple[Skipped, ...]
    prompt: str


def choose(
    loras: str, strengths: str, prompt: str, on_missing: OnMissing = OnMissing.ERROR
) -> Chosen:
    """The LoRAs of a list of names with its list of strengths, then those of the prompt's tags.

    Raises ValueError (UnresolvedNameError, PromptError among them) whose message names the input.
    """
    names = read_names(loras)
    weights = read_strengths(strengths, len(names))
    wanted = [("loras", LoraTag(n, w, w, 0, 0)) for n, w in zip(names, weights, strict=True)]
    text, tags = take_tags(prompt)
    wanted += [("prompt", tag) for tag in tags]
    choices, skipped = resolve_tags(wanted, on_missing)
    return Chosen(choices, skipped, text)


def resolve_tags(
    wanted: Iterable[tuple[str, LoraTag]], on_missing: OnMissing
) -> tuple[tuple[LoraChoice, ...], tuple[Skipped, ...]]:
    """Pairs of node input and tag -> choices, and what was skipped (also logged)."""
    choices: list[LoraChoice] = []
    skipped: list[Skipped] = []
    for source, tag in wanted:
        try:
            file = find_lora(tag.name)
        except UnresolvedNameError as error:
            if on_missing is OnMissing.ERROR:
                raise type(error)(f"Input {source!r}: {error}", error.name, error.nearest) from None
            log.warning("Skipped a LoRA of input %r: %s", source, error)
            skipped.append(Skipped(tag.name, str(error)))
        else:
            choices.append(LoraChoice(file, tag.weight, tag.clip_weight, source))
    return tuple(choices), tuple(skipped)


def read_names(loras: str) -> list[str]:
    """`ganyu-lora,"a, b"` -> the names. An empty list is fine, an empty entry is a mistake."""
    if not loras.strip():
        return []
    if TAG.search(loras):
        raise ValueError(
            "Input 'loras' takes names such as 'ganyu-lora,more_details'; a <lora:…> tag goes into "
            "the input 'prompt'"
        )
    try:
        entries = next(csv.reader([_LINES.sub(" ", loras)], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(
            f"Input 'loras': a quote in {shown(loras)} is not closed, or not followed by a comma "
            f"({error})"
        ) from error
    names = [entry.strip() for entry in entries]
    if "" in names:
        raise ValueError(f"Input 'loras', entry {names.index('') + 1} is empty in {shown(loras)}")
    return names


def read_strengths(strengths: str, count: int) -> list[float]:
    """One finite number for each of `count` names: none means 1.0, one is used for all."""
    if not strengths.strip():
        return [1.0] * count
    values = _numbers(strengths)
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(
            f"Input 'strengths' has {len(values)} numbers for {count} names in 'loras': give one "
            "for all, or one for each"
        )
    return values


def _numbers(strengths: str) -> list[float]:
    values: list[float] = []
    for index, field in enumerate(strengths.split(","), 1):
        value = parse_number(field.strip())
        if value is None:
            raise ValueError(
                f"Input 'strengths', entry {index}: {shown(field.strip())} is not a finite number"
            )
        values.append(value)
    return values


def check(
    loras: str | None, strengths: str | None, prompt: str | None, on_missing: str | None
) -> bool | str:
    """True, or what is wrong with the inputs that are known; None is one that is linked in."""
    if on_missing is not None and on_missing not in [policy.value for policy in OnMissing]:
        return f"Input 'on_missing' is {shown(str(on_missing))}; it takes 'error' or 'skip'"
    policy = OnMissing.SKIP if on_missing is None else OnMissing(on_missing)
    try:
        if loras is None and strengths:
            _numbers(strengths)
        choose(loras or "", strengths or "" if loras is not None else "", prompt or "", policy)
    except ValueError as error:
        return str(error)
    return True


def fingerprint(loras: str | None, prompt: str | None) -> str:
    """Changes when a file that the inputs name is edited, or a name comes to mean another file.

    Where a name is linked in, it is not known yet: then any change among the LoRAs counts.
    """
    if loras is None or prompt is None:
        return folder_fingerprint()
    return files_fingerprint(
        choice.file for choice in choose(loras, "", prompt, OnMissing.SKIP).choices
    )
