"""A cast: people by name, and `@ann` in a prompt for everything that makes her.

`@ann` stands for her trigger, her words and her LoRA's tag; the part it stands in adds what it likes:
`@ann smiling, <lora:coat:0.5>`. A cast is a JSON object, `{"people": {"ann": {…}}}`; the section
`people` of the alias file has the same form. docs/cast.schema.json describes it.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import PromptError, shown
from .grammar import NegativePrompt, count_people, parse_negative, split_parts
from .tags import REF, TAG, parse_number

# Not inside a word, as in an address; `\@` is a plain @. A name ends with a letter, a digit or _.
_MENTION = re.compile(
    rf"(?:{TAG.pattern})|{REF.pattern}|\\(?P<plain>@)|(?<![\w@\\])@(?P<name>\w+(?:-\w+)*)", re.I
)
_NAME = re.compile(r"\w+(?:-\w+)*")
_TEXTS = ("words", "trigger", "lora", "checkpoint", "negative", "pose", "class")
_FIELDS = (*_TEXTS, "strength", "faces")
MOST_STEPS = 8  # of one person's words that name another


class CastError(ValueError):
    """A cast that cannot be used; the message names the person and the field."""


@dataclass(frozen=True)
class Member:
    """One person. `faces` are names of reference pictures; `pose` is a pose's name or file."""

    name: str
    words: str = ""
    trigger: str = ""
    lora: str = ""
    strength: float = 1.0
    negative: str = ""
    pose: str = ""
    faces: tuple[str, ...] = ()
    checkpoint: str = ""

    @property
    def text(self) -> str:
        tag = f"<lora:{self.lora}:{self.strength:g}>" if self.lora else ""
        said = ", ".join(filter(None, (self.trigger, self.words)))
        return " ".join(filter(None, (said, tag)))


@dataclass(frozen=True)
class Cast:
    """Members by name; names differ in more than case."""

    members: Mapping[str, Member] = field(default_factory=dict)

    def find(self, name: str, text: str, offset: int) -> Member:
        """Raises PromptError, with the nearest names."""
        member = self.members.get(name.casefold())
        if member is not None:
            return member
        known = [each.name for each in self.members.values()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)[:3]
        raise PromptError(
            f"@{name} is nobody in the cast; near: {', '.join('@' + each for each in near)}. "
            "A plain @ is written \\@",
            text,
            offset,
        )


@dataclass(frozen=True)
class Mention:
    """`@name` in the text as written, from `start` to `end`."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Expanded:
    """`people`: who was named, in the text's order, once each. `mentions` are places in the text as it
    was written."""

    text: str
    people: tuple[Member, ...]
    mentions: tuple[Mention, ...]


def read_cast(text: str) -> Cast:
    """A cast file's text. Raises CastError."""
    if not text.strip():
        return Cast()
    try:
        value = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_once)
    except CastError:
        raise
    except (ValueError, RecursionError) as error:
        raise CastError(f"the cast is not JSON: {error}") from error
    return cast_of(value)


def cast_of(value: Any) -> Cast:
    """A cast of parsed JSON. Raises CastError."""
    if not isinstance(value, dict) or not isinstance(value.get("people"), dict):
        raise CastError('a cast is an object {"people": {"ann": {"words": "…"}}}')
    members: dict[str, Member] = {}
    for name, entry in value["people"].items():
        if not _NAME.fullmatch(name):
            raise CastError(f"{shown(name)}: a name has letters, digits, _ and - between them")
        if (other := members.get(name.casefold())) is not None:
            raise CastError(f"{shown(name)} and {shown(other.name)}: two people of one name")
        members[name.casefold()] = _member(name, entry)
    cast = Cast(members)
    for member in members.values():
        try:
            expand(member.words, cast)
        except PromptError as error:
            raise CastError(f"{member.name}, words: {error}") from error
    return cast


def part_of(cast: Cast, names: Iterable[str]) -> dict[str, Any]:
    """The cast of these people alone, as JSON."""
    people = {}
    for name in names:
        member = cast.members[name.casefold()]
        fields = {each: getattr(member, each) for each in _FIELDS if each != "class"}
        fields["faces"] = list(member.faces)
        people[name] = {each: value for each, value in fields.items() if value}
        people[name]["strength"] = member.strength
    return {"people": people}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two people of one name would be one without a word."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise CastError(f"{shown(key)} is in the cast twice")
        found[key] = value
    return found


def _member(name: str, entry: Any) -> Member:
    if not isinstance(entry, dict):
        raise CastError(f"{name}: must be an object")
    for key, value in entry.items():
        if key not in _FIELDS:
            near = difflib.get_close_matches(key, _FIELDS, n=1)
            raise CastError(
                f"{name}: unknown field {shown(key)}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
        if key in _TEXTS and not isinstance(value, str):
            raise CastError(f"{name}, {key}: must be text")
    strength = entry.get("strength", 1.0)
    if isinstance(strength, bool) or not isinstance(strength, int | float):
        raise CastError(f"{name}, strength: must be a number")
    if parse_number(str(strength)) is None:
        raise CastError(f"{name}, strength: must be finite")
    faces = entry.get("faces", [])
    faces = [faces] if isinstance(faces, str) else faces
    if not isinstance(faces, list) or not all(isinstance(each, str) for each in faces):
        raise CastError(f"{name}, faces: must be a picture's name, or a list of them")
    if any(mark in entry.get("lora", "") for mark in "<>:"):
        raise CastError(f"{name}, lora: must be a name, without < > :")
    if "BREAK" in re.findall(r"\w+", entry.get("words", "") + " " + entry.get("trigger", "")):
        raise CastError(f"{name}: BREAK begins another part; a person's words cannot have one")
    texts = {key: entry[key].strip() for key in _TEXTS if key in entry and key != "class"}
    return Member(name, **texts, strength=float(strength), faces=tuple(faces))


def expand(text: str, cast: Cast) -> Expanded:
    """The text with each `@name` in place. Without a cast an @ is an @. Raises PromptError for a name
    that is nobody's and for people who name each other in a circle."""
    if not cast.members:
        return Expanded(text, (), ())
    people: dict[str, Member] = {}
    mentions: list[Mention] = []
    pieces, at = [], 0
    for found in _MENTION.finditer(text):
        if found["plain"]:
            pieces += [text[at : found.start()], "@"]
        elif found["name"]:
            member = cast.find(found["name"], text, found.start())
            mentions.append(Mention(member.name, found.start(), found.end()))
            pieces += [
                text[at : found.start()],
                _said(member, cast, (), text, found.start(), people),
            ]
        else:
            continue  # a tag: a file may be called what it likes
        at = found.end()
    return Expanded("".join(pieces) + text[at:], tuple(people.values()), tuple(mentions))


def _said(
    member: Member, cast: Cast, above: tuple[str, ...], text: str, offset: int,
    people: dict[str, Member],
) -> str:  # fmt: skip
    """A member's text with those that it names in place."""
    if member.name in above or len(above) >= MOST_STEPS:
        circle = " -> ".join(f"@{name}" for name in (*above, member.name))
        raise PromptError(f"people name each other in a circle: {circle}", text, offset)
    people.setdefault(member.name, member)

    def name(found: re.Match[str]) -> str:
        if found["plain"]:
            return "@"
        if not found["name"]:
            return found[0]
        other = cast.find(found["name"], member.text, found.start())
        return _said(other, cast, (*above, member.name), text, offset, people)

    return _MENTION.sub(name, member.text)


def expand_negative(negative: str, prompt: str, cast: Cast) -> str:
    """The negative with what its people add, each in the part that is theirs; without BREAK in the
    prompt, for the whole picture."""
    parts = split_parts(prompt)
    own = [_negatives(prompt[part.start : part.end], cast) for part in parts]
    if not any(own):
        return negative
    if len(parts) < 3:
        return _join(negative, ", ".join(filter(None, own)))
    read: NegativePrompt = parse_negative(negative, count_people(parts))
    base = _join(read.base_text, _join(own[0], own[1]))
    each = [_join(text, more) for text, more in zip(read.person_texts, own[2:], strict=False)]
    return " BREAK ".join([base, "", *each]).replace("BREAK  BREAK", "BREAK BREAK")


def _negatives(part: str, cast: Cast) -> str:
    return ", ".join(filter(None, (member.negative for member in expand(part, cast).people)))


def _join(first: str, second: str) -> str:
    return f"{first}, {second}" if first and second else first or second
