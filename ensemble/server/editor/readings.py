"""How a prompt or a stack of LoRAs is read, as JSON for the graph editor.

The readings are those of the nodes, so the editor shows what the queue will say.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...lora.choose import read_stack
from ...lora.names import AmbiguousNameError, ModelNames, names_in
from ...prompt.emphasis import Weights
from ...prompt.errors import InputProblem, InputProblems, PromptError
from ...prompt.grammar import OneBreakError, Part, Together, split_parts
from ...prompt.places import place_sentences
from ...prompt.reading import PromptReading, read_prompt
from ...prompt.tags import LoraTag, RefTag
from ...regional.reference_pictures import picture_names
from ...regions.drawn import read_drawn
from ...regions.layout import Layout
from ...regions.rect import Rect
from .loras import damage_of, short_names

ROLES = ("base", "common")
# How many names that are no file are compared with all there are, for one text.
MOST_MISSING = 100
# Offset in Python's characters -> offset in UTF-16 units.
Units = Callable[[int], int]


def tell_prompt(
    text: str, negative: str = "", weights: str = Weights.A1111.value, order: str = "",
    boxes: str = "", places: str = "",
) -> dict[str, Any]:  # fmt: skip
    """`parts` in order (none where the text cannot be split), `has_break`, `problems`, and in
    `warnings` what can run and is seldom meant. `negative_parts` are those of the negative, where it has
    BREAK.

    A person's `place` counts from 0 at the left, by the boxes or else by `order`; it is None where
    that cannot be read. With `places` (`columns` or `rows`, for people without boxes), `added` is what
    place_words adds to the scene.
    """
    found = InputProblems()
    names = found.attempt("text", lambda: names_in("loras"))
    reading = read_prompt(text, negative, weights, order)
    drawn = found.attempt(
        "boxes", lambda: read_drawn(boxes, reading.people if reading.parts else None)
    )
    rects = [each.rect for each in drawn or ()]
    standing = list(reading.standing) if reading.standing is not None else None
    if rects:  # they tell who stands where, not the order
        standing = sorted(range(reading.people), key=lambda i: rects[i].centre[0])
    layout = found.attempt("layout", lambda: Layout(places)) if places else None
    readable = not found and not reading.problems
    named = any(part.reference for part in reading.parts)
    pictures = found.attempt("text", picture_names) if named else None
    tell = _Teller(names, units_of(text), pictures)
    doubts = [InputProblem("text", reading.doubt)] if reading.doubt else []
    return {
        "has_break": len(reading.parts) > 1,
        "parts": _parts(reading, tell, standing),
        "problems": tell_problems((*found, *reading.problems), text, negative),
        "warnings": tell_problems(doubts, text, negative),
        "negative_parts": _negative_parts(reading, negative),
        "added": _added(reading, weights, layout, rects) if layout and readable else "",
    }


def _parts(
    reading: PromptReading, tell: "_Teller", standing: list[int] | None
) -> list[dict[str, Any]]:
    own = reading.parts[: len(ROLES) + reading.people]
    told = [tell.part(part, index, standing) for index, part in enumerate(own)]
    return told + [tell.together(e) for e in (reading.prompt.together if reading.prompt else ())]


def _negative_parts(reading: PromptReading, negative: str) -> list[dict[str, Any]]:
    if reading.negatives is None:
        return []
    parts = split_parts(negative)
    tell = _Teller(None, units_of(negative))
    return [tell.part(part, i, None) for i, part in enumerate(parts)] if len(parts) > 1 else []


def _added(
    reading: PromptReading, weights: str, layout: Layout, boxes: Sequence[Rect] | None
) -> str:
    from ...regional.encode import without_emphasis  # which loads the engine

    people, _ = reading.require()
    words = [without_emphasis(part.text, Weights(weights)) for part in people.people]
    return place_sentences(words, _centres(reading, layout, boxes))


def _centres(
    reading: PromptReading, layout: Layout, boxes: Sequence[Rect] | None
) -> list[tuple[float, float]]:
    """In prompt order, by the boxes or else as equal columns or rows."""
    if boxes:
        return [box.centre for box in boxes]
    standing = reading.standing or ()
    across = [(standing.index(i) + 0.5) / len(standing) for i in range(len(standing))]
    return [(at, 0.5) if layout is Layout.COLUMNS else (0.5, at) for at in across]


def tell_stack(loras: str, strengths: str = "", prompt: str = "") -> dict[str, Any]:
    """`rows` of the two lists (none where they cannot be read), `tags` of the prompt, `problems`, and in
    `warnings` what can run and is seldom meant."""
    found = InputProblems()
    names = found.attempt("loras", lambda: names_in("loras"))
    reading = read_stack(loras, strengths, prompt)
    tell = _Teller(names, units_of(prompt))
    rows = [
        {
            "name": row.name,
            "strength": row.weight,
            "clip_strength": row.clip_weight,
            **tell.match(row.name),
        }
        for row in reading.rows
    ]
    tags = [tell.tag(tag) for tag in reading.tags]
    return {
        "rows": rows,
        "tags": tags,
        "problems": tell_problems((*found, *reading.problems), prompt, ""),
        "warnings": [{"input": "loras", "message": line} for line in _twice([*rows, *tags])],
    }


def _twice(asked: Iterable[dict[str, Any]]) -> list[str]:
    """A line for each file that several names stand for, or one name several times."""
    names: dict[str, list[str]] = defaultdict(list)
    for each in asked:
        if each["file"]:
            names[each["file"]].append(each["name"])
    return [
        f"{' and '.join(dict.fromkeys(same))}: the same file, {file}, {len(same)} times"
        for file, same in names.items()
        if len(same) > 1
    ]


def tell_problems(found: Iterable[InputProblem], text: str, negative: str) -> list[dict[str, Any]]:
    told = []
    for each in found:
        error = each.error
        units = units_of(negative if each.input == "negative" else text)
        problem: dict[str, Any] = {"input": each.input, "message": str(error)}
        if isinstance(error, OneBreakError):
            problem["fix"] = {"at": units(error.insert_at), "insert": error.insert}
        # Brackets are checked part by part: where they stand in the whole is not known.
        if isinstance(error, PromptError) and each.input != "weights":
            problem |= {"offset": units(error.offset), "line": error.line, "column": error.column}
        told.append(problem)
    return told


def units_of(text: str) -> Units:
    if text.isascii():
        return lambda offset: offset
    return lambda offset: len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


@dataclass(frozen=True)
class _Teller:
    """Parts and tags of one text as JSON; without `names` nothing is known of the files."""

    names: ModelNames | None
    units: Units
    # Of the input folder; None where the text names none.
    pictures: ModelNames | None = None
    # Names that were looked up in vain.
    missing: set[str] = field(default_factory=set)

    def part(self, part: Part, index: int, standing: list[int] | None) -> dict[str, Any]:
        person = index - len(ROLES)
        return {
            "role": ROLES[index] if person < 0 else "person",
            "number": person + 1 if person >= 0 else None,
            "place": standing.index(person) if standing is not None and person >= 0 else None,
            "text": part.text,
            "start": self.units(part.start),
            "end": self.units(part.end),
            "loras": [self.tag(tag) for tag in part.loras],
            "reference": part.reference and self.reference(part.reference),
        }

    def together(self, together: Together) -> dict[str, Any]:
        """A part of several people; `members` are their numbers."""
        told = self.part(together.part, 0, None)
        members = [member + 1 for member in together.members]
        return {**told, "role": "together", "text": together.text, "members": members}

    def reference(self, tag: RefTag) -> dict[str, Any]:
        where = {"start": self.units(tag.start), "end": self.units(tag.end)}
        return {"name": tag.name, **where, **self.match(tag.name, self.pictures)}

    def tag(self, tag: LoraTag) -> dict[str, Any]:
        where = {"start": self.units(tag.start), "end": self.units(tag.end)}
        weights = {"weight": tag.weight, "clip_weight": tag.clip_weight}
        return {"name": tag.name, **weights, **where, **self.match(tag.name)}

    def match(self, name: str, among: ModelNames | None = None) -> dict[str, Any]:
        """`status` is found, missing, ambiguous or unknown; `nearest` are names to write instead."""
        names = among or self.names
        if names is None or len(self.missing) >= MOST_MISSING:
            return {"status": "unknown", "file": "", "nearest": (), "message": ""}
        match = names.match(name)
        if match.error is None:
            return {"status": "found", "file": match.file, "nearest": (), "message": ""}
        self.missing.add(name)
        status = "ambiguous" if isinstance(match.error, AmbiguousNameError) else "missing"
        short = short_names(names.files)
        whole = [each for each in match.error.nearest if among or not damage_of(each)]
        nearest = [short.get(each, each) for each in whole]
        return {"status": status, "file": "", "nearest": nearest, "message": str(match.error)}
