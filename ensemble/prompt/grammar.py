"""`base BREAK common BREAK person1 [BREAK person2 …]`: one prompt for several people.

BREAK is the bare upper-case word. Parts may be empty and their position counts. The common part is
added to the base and to every person. Text without BREAK is a plain prompt: a base and nothing
else.

Behind the people, a part that begins with their numbers (`1+2: shaking hands`) is of several of them
together, and no person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import PromptError, shown
from .tags import REF, TAG, LoraTag, RefTag, read_ref, read_tag, without_tags

# Not inside a longer word, nor COFFEE-BREAK. A tag is tried first, so a file named BREAK stays in
# its tag.
_TOKEN = re.compile(
    rf"(?:{TAG.pattern})|{REF.pattern}|(?P<split>(?<![\w'-])BREAK(?![\w'-]))", re.IGNORECASE
)
# Around a BREAK commas only separate, as in `scene, BREAK common`. A plain prompt keeps its own.
_SEPARATORS = ", \t\r\n"
_TOGETHER = re.compile(r"(\d{1,3}(?:\s*\+\s*\d{1,3})+)\s*:\s*", re.ASCII)
MOST_REFERENCES = 10
"""Pictures in one prompt. Each is another picture's worth of tokens in every step."""


class OneBreakError(PromptError):
    """A person written where the common part belongs; `insert` at offset `insert_at` mends it."""

    insert = " BREAK"

    def __init__(self, problem: str, text: str, offset: int, insert_at: int) -> None:
        super().__init__(problem, text, offset)
        self.insert_at = insert_at

    def mended(self, text: str) -> str:
        """The text that it was raised for, with the BREAK that it lacks."""
        return text[: self.insert_at] + self.insert + text[self.insert_at :]


@dataclass(frozen=True)
class Part:
    """One part between two BREAKs."""

    # Without tags.
    text: str
    # Their offsets are in the whole prompt, as are `start` and `end`.
    loras: tuple[LoraTag, ...]
    start: int
    end: int
    # The person's picture.
    reference: RefTag | None = None


@dataclass(frozen=True)
class Together:
    """A part that is of several people together."""

    # From 0, in prompt order.
    members: tuple[int, ...]
    # With the numbers before it, as it is written.
    part: Part

    @property
    def text(self) -> str:
        """What they do, without their numbers."""
        return _TOGETHER.sub("", self.part.text, count=1)


@dataclass(frozen=True)
class BreakPrompt:
    base: Part
    common: Part
    people: tuple[Part, ...]
    has_break: bool
    together: tuple[Together, ...] = ()

    @property
    def base_text(self) -> str:
        """What the scene is encoded from: base and common."""
        return _join(self.base.text, self.common.text)

    @property
    def person_texts(self) -> tuple[str, ...]:
        """What each person is encoded from: their part and common."""
        return tuple(_join(person.text, self.common.text) for person in self.people)

    @property
    def together_texts(self) -> tuple[str, ...]:
        """What each part of several people is encoded from: it and common."""
        return tuple(_join(each.text, self.common.text) for each in self.together)

    @property
    def shared_loras(self) -> tuple[LoraTag, ...]:
        """The LoRAs of base and common, which act on everyone."""
        return self.base.loras + self.common.loras


@dataclass(frozen=True)
class NegativePrompt:
    base_text: str
    person_texts: tuple[str, ...]


def parse_break(text: str) -> BreakPrompt:
    """Split a prompt into its parts. Raises PromptError, which says where, for text that is a
    mistake for certain.
    """
    return assemble(text, split_parts(text))


def assemble(text: str, parts: Sequence[Part]) -> BreakPrompt:
    """The prompt of the parts that `split_parts` found in `text`."""
    count = count_people(parts)
    base, people = parts[0], tuple(parts[2 : 2 + count])
    common = parts[1] if len(parts) > 1 else Part("", (), len(text), len(text))
    own = common.loras[:1] or (common.reference,)
    if not people and own[0]:
        what, tag = ("a LoRA", "<lora:NAME:1>") if common.loras else ("a reference", "<ref:NAME>")
        raise OneBreakError(
            f"The second part is the common text, added to everyone, and here it has {what} but no "
            f"person follows. People start at the third part: write 'scene BREAK BREAK person "
            f"{tag}', with an empty common part between the BREAKs",
            text,
            own[0].start,
            insert_at=common.start,
        )
    _check_references(text, (base, common, *parts[2 + count :]), people)
    together = tuple(_read_together(text, part, count) for part in parts[2 + count :])
    return BreakPrompt(base, common, people, len(parts) > 1, together)


def count_people(parts: Sequence[Part]) -> int:
    """How many of the parts that `split_parts` found are a person's: those behind base and common,
    up to the first that is of several together."""
    own = [bool(_TOGETHER.match(part.text)) for part in parts[2:]]
    return own.index(True) if True in own else len(own)


def _read_together(text: str, part: Part, people: int) -> Together:
    found = _TOGETHER.match(part.text)
    # The part begins where its numbers do, behind what separates it, unless a tag stands before them.
    at = text.find(found[1], part.start, part.end) if found else part.start
    at = max(at, part.start)
    if not found:
        raise PromptError(
            "A person stands behind a part of several people together; write those last, as "
            "'scene BREAK common BREAK person 1 BREAK person 2 BREAK 1+2: shaking hands'",
            text,
            at,
        )
    numbers = [int(number) for number in found[1].split("+")]
    if len(set(numbers)) != len(numbers) or not all(1 <= n <= people for n in numbers):
        raise PromptError(
            f"{shown(found[1])} must name two people or more of the {people} in the prompt, each "
            "once, by their numbers from 1 on",
            text,
            at,
        )
    return Together(tuple(number - 1 for number in numbers), part)


def _check_references(text: str, shared: Sequence[Part], people: Sequence[Part]) -> None:
    for part in shared:
        if part.reference:
            raise PromptError(
                "A reference picture is one person's, and here it stands in the scene, the common part "
                "or a part of several people; move it into a person's part, 'scene BREAK common BREAK person <ref:NAME>'",
                text,
                part.reference.start,
            )
    found = [part.reference for part in people if part.reference]
    if len(found) > MOST_REFERENCES:
        raise PromptError(
            f"The prompt has {len(found)} reference pictures, and {MOST_REFERENCES} are the most; "
            "take some out, or paint these people in groups",
            text,
            found[MOST_REFERENCES].start,
        )


def likely_mistake(text: str, parts: Sequence[Part]) -> OneBreakError | None:
    """A person in the common part beside one other person: grammar that is in order and seldom meant.

    A LoRA that is meant for everyone says so without doubt from the first part, where it acts alike.
    """
    if len(parts) != len(("base", "common", "person")) or not parts[1].loras:
        return None
    return OneBreakError(
        "The second part is the common text, added to everyone, and its LoRA acts on everyone; only "
        "one person follows. If it is a person, write 'scene BREAK BREAK person <lora:NAME:1> BREAK "
        "person', with an empty common part; if its LoRA is for everyone, move the LoRA's tag into "
        "the first part",
        text,
        parts[1].loras[0].start,
        insert_at=parts[1].start,
    )


def parse_negative(text: str, people: int | None) -> NegativePrompt:
    """The negative of the scene and of each of `people` persons; None: of as many as it has parts for.

    Without BREAK everyone gets the same text. With BREAK it is split like the prompt, and a person
    it has no part for gets the scene's negative. More parts than people, or a LoRA tag, is a
    PromptError.
    """
    parts = split_parts(text)
    for part in parts:
        if part.loras:
            raise PromptError(
                "A LoRA tag stands in the negative; move it to the prompt, it acts on both",
                text,
                part.loras[0].start,
            )
        if part.reference:
            raise PromptError(
                "A reference picture stands in the negative; move it to the prompt, it acts on both",
                text,
                part.reference.start,
            )
    if people is None:
        people = max(0, len(parts) - 2)
    if len(parts) - 2 > people:
        raise PromptError(
            f"The negative has parts for {len(parts) - 2} people and the prompt has {people}",
            text,
            parts[2 + people].start,
        )
    common = parts[1].text if len(parts) > 1 else ""
    base = _join(parts[0].text, common)
    own = tuple(_join(part.text, common) for part in parts[2:])
    return NegativePrompt(base, own + (base,) * (people - len(own)))


def split_parts(text: str) -> list[Part]:
    """The parts between BREAKs: base, common, then a person each. Raises PromptError for a broken
    tag, two references in one part, or nothing but BREAK.
    """
    tags: list[LoraTag | RefTag] = []
    parts: list[Part] = []
    start = 0
    for found in _TOKEN.finditer(text):
        if found["picture"] is not None:
            tags.append(read_ref(text, found))
        elif found["split"] is None:
            tags.append(read_tag(text, found))
        elif found["split"] == "BREAK":  # the pattern ignores case for the tags' sake
            parts.append(_part(text, start, found.start(), tags, _SEPARATORS))
            start, tags = found.end(), []
    parts.append(_part(text, start, len(text), tags, _SEPARATORS if parts else None))
    if len(parts) > 1 and not any(part.text or part.loras or part.reference for part in parts):
        raise PromptError(
            "The prompt has nothing but BREAK; write 'scene BREAK common BREAK person'",
            text,
            parts[0].end,
        )
    return parts


def _part(
    text: str, start: int, end: int, tags: list[LoraTag | RefTag], separators: str | None
) -> Part:
    loras = tuple(tag for tag in tags if isinstance(tag, LoraTag))
    references = [tag for tag in tags if isinstance(tag, RefTag)]
    if len(references) > 1:
        raise PromptError(
            "A second reference picture in one part; a person has one, so keep the better",
            text,
            references[1].start,
        )
    words = without_tags(text, tags, start, end).strip(separators)
    return Part(words, loras, start, end, references[0] if references else None)


def _join(part: str, common: str) -> str:
    return f"{part}, {common}" if part and common else part or common
