"""LoRAs that nodes are asked for by name -> files and strengths, checked before anything is loaded."""

import csv
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from ..prompt.errors import InputProblem, InputProblems, raise_first, shown
from ..prompt.grammar import BreakPrompt, NegativePrompt
from ..prompt.reading import PromptReading
from ..prompt.tags import TAG, LoraTag, parse_number, take_tags
from .files import files_fingerprint, find_lora, folder_fingerprint
from .merge import LoraChoice
from .names import UnresolvedNameError

log = logging.getLogger(__name__)

# Of the model, and of its text encoder.
Strength = tuple[float, float]
_LINES = re.compile(r"[\r\n]+")


class OnMissing(str, Enum):
    """What to do about a name that is no file."""

    ERROR = "error"
    SKIP = "skip"


@dataclass(frozen=True)
class LoraRequest:
    """A LoRA asked for by name, and how strongly it shall act."""

    name: str
    weight: float
    clip_weight: float
    # The node input that asks for it.
    source: str


@dataclass(frozen=True)
class Skipped:
    """A LoRA left out because `on_missing` is skip."""

    name: str
    reason: str


@dataclass(frozen=True)
class Chosen:
    """What requests come to; `prompt` is the text that they were in, without its tags."""

    # In the order they apply.
    choices: tuple[LoraChoice, ...]
    skipped: tuple[Skipped, ...]
    prompt: str = ""


@dataclass(frozen=True)
class PeopleChosen:
    """A prompt for several people with its LoRAs."""

    prompt: BreakPrompt
    negatives: NegativePrompt
    # Of base and common: they act on everyone.
    shared: Chosen
    # Each person's.
    own: tuple[Chosen, ...]
    # Of each part of several people together.
    together: tuple[Chosen, ...] = ()


@dataclass(frozen=True)
class StackReading:
    """MultiLoraLoader's texts as the queue's check, the run and the editor read them."""

    # Of the two lists; none where `loras` cannot be read.
    rows: tuple[LoraRequest, ...]
    tags: tuple[LoraTag, ...]
    # Without its tags.
    prompt: str
    problems: tuple[InputProblem, ...]

    @property
    def requests(self) -> list[LoraRequest]:
        return [*self.rows, *requests_of(self.tags, "prompt")]


@lru_cache(maxsize=32)
def read_stack(loras: str | None, strengths: str | None, prompt: str | None) -> StackReading:
    """Read what is typed into the node; None is an input that is linked in and not known yet."""
    found = InputProblems()
    names = found.attempt("loras", lambda: read_names(loras or "")) or []
    count = None if loras is None else len(names)
    weights = found.attempt("strengths", lambda: read_strengths(strengths or "", count))
    text, tags = found.attempt("prompt", lambda: take_tags(prompt or "")) or (prompt or "", ())
    pairs = zip(names, weights or [(1.0, 1.0)] * len(names), strict=True)
    rows = tuple(LoraRequest(name, *strength, "loras") for name, strength in pairs)
    return StackReading(rows, tags, text, tuple(found))


def choose(
    loras: str, strengths: str, prompt: str, on_missing: OnMissing = OnMissing.ERROR
) -> Chosen:
    """The LoRAs of a list of names with its list of strengths, then those of the prompt's tags.

    Raises ValueError (UnresolvedNameError, PromptError among them) whose message names the input.
    """
    reading = read_stack(loras, strengths, prompt)
    raise_first(reading.problems)
    found = find_all(reading.requests, on_missing)
    for skipped in found.skipped:
        log.warning("MultiLoraLoader skipped a LoRA: %s", skipped.reason)
    return Chosen(found.choices, found.skipped, reading.prompt)


def choose_for_people(reading: PromptReading, on_missing: OnMissing) -> PeopleChosen:
    """Raises the error of the reading's first problem, and UnresolvedNameError; both name the
    input.
    """
    prompt, negatives = reading.require()
    tags = [prompt.shared_loras, *(person.loras for person in prompt.people)]
    tags += [each.part.loras for each in prompt.together]
    shared, *own = (find_all(requests_of(each, "text"), on_missing) for each in tags)
    people = len(prompt.people)
    return PeopleChosen(prompt, negatives, shared, tuple(own[:people]), tuple(own[people:]))


def requests_of(tags: Iterable[LoraTag], source: str) -> list[LoraRequest]:
    return [LoraRequest(tag.name, tag.weight, tag.clip_weight, source) for tag in tags]


def find_all(requests: Sequence[LoraRequest], on_missing: OnMissing) -> Chosen:
    """The file of every request. Raises UnresolvedNameError, or skips the name."""
    choices: list[LoraChoice] = []
    skipped: list[Skipped] = []
    for asked in requests:
        try:
            file = find_lora(asked.name)
        except UnresolvedNameError as error:
            if on_missing is OnMissing.ERROR:
                message = f"Input {asked.source!r}: LoRA {error}"
                raise type(error)(message, error.name, error.nearest) from None
            skipped.append(Skipped(asked.name, str(error)))
        else:
            choices.append(LoraChoice(file, asked.weight, asked.clip_weight, asked.source))
    return Chosen(tuple(choices), tuple(skipped))


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


def read_strengths(strengths: str, count: int | None) -> list[Strength]:
    """`0.8,1:0.5` -> a pair for each of `count` names, of the model's and the text encoder's strength:
    none means 1, one is used for all. With `count` None the names are not known yet, and any number of
    strengths will do.
    """
    if not strengths.strip():
        return [(1.0, 1.0)] * (count or 0)
    values: list[Strength] = []
    for index, field in enumerate(strengths.split(","), 1):
        numbers = [parse_number(number.strip()) for number in field.split(":")]
        model, clip = numbers[0], numbers[-1]
        if model is None or clip is None or len(numbers) > 2:
            raise ValueError(
                f"Input 'strengths', entry {index}: {shown(field.strip())} is not a finite number, or "
                "two as 0.8:0.4 for model and text encoder"
            )
        values.append((model, clip))
    if count is None:
        return []
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(
            f"Input 'strengths' has {len(values)} numbers for {count} names in 'loras': give one "
            "for all, or one for each"
        )
    return values


def check(
    loras: str | None, strengths: str | None, prompt: str | None, on_missing: str | None
) -> bool | str:
    """True, or what is wrong with the inputs that are known; None is one that is linked in."""
    if on_missing is not None and on_missing not in [policy.value for policy in OnMissing]:
        return f"Input 'on_missing' is {shown(str(on_missing))}; it takes 'error' or 'skip'"
    reading = read_stack(loras, strengths, prompt)
    try:
        raise_first(reading.problems)
        find_all(reading.requests, OnMissing(on_missing or OnMissing.SKIP))
    except ValueError as error:
        return str(error)
    return True


def fingerprint(requests: Sequence[LoraRequest] | None) -> str:
    """Changes when a file that is asked for is edited, or a name comes to mean another file.

    None: a text that names LoRAs is linked in and not known yet. Then any change among them counts.
    """
    if requests is None:
        return folder_fingerprint()
    return files_fingerprint(choice.file for choice in find_all(requests, OnMissing.SKIP).choices)
