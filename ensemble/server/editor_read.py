"""How a prompt or a stack of LoRAs is read, as JSON for the graph editor.

The parsers are those of the nodes, so the editor shows what the queue will say.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..lora.choose import read_names, read_strengths
from ..lora.names import AliasFileError
from ..prompt.emphasis import Weights, for_comfy
from ..prompt.errors import PromptError
from ..prompt.grammar import OneBreakError, Part, parse_break, parse_negative, split_parts
from ..prompt.tags import LoraTag, take_tags
from ..regional.placement import read_order
from ..regions.boxes import read_boxes
from .editor_loras import LoraNames, lora_names

ROLES = ("base", "common")


def read_prompt(
    text: str, negative: str = "", weights: str = Weights.A1111.value, order: str = "",
    boxes: str = "",
) -> dict[str, Any]:  # fmt: skip
    """`parts` in order (none where the text cannot be split), `has_break`, and `problems`.

    A person's `place` counts from 0 at the left, by the boxes or else by `order`; it is None where
    that cannot be read.
    """
    report = _Report(text, negative)
    names = report.attempt("text", lora_names)
    parts = report.attempt("text", lambda: split_parts(text)) or []
    people = max(0, len(parts) - 2)
    if parts:
        report.attempt("text", lambda: parse_break(text))
    report.attempt("negative", lambda: parse_negative(negative, people))
    for part in parts:
        report.attempt("weights", lambda part=part: for_comfy(part.text, Weights(weights)))
    standing = report.attempt("order", lambda: read_order(order, people))
    drawn = report.attempt("boxes", lambda: read_boxes(boxes, people))
    if drawn:  # they tell who stands where, not the order
        standing = sorted(range(people), key=lambda i: drawn[i].left + drawn[i].width / 2)
    return {
        "has_break": len(parts) > 1,
        "parts": [
            _part(part, index, standing, names, report.units) for index, part in enumerate(parts)
        ],
        "problems": report.problems,
    }


def read_stack(loras: str, strengths: str = "", prompt: str = "") -> dict[str, Any]:
    """`rows` of the two lists (none where they cannot be read), `tags` of the prompt, and
    `problems`."""
    report = _Report(prompt, "")
    names = report.attempt("loras", lora_names)
    listed = report.attempt("loras", lambda: read_names(loras))
    values = report.attempt("strengths", lambda: read_strengths(strengths, len(listed or [])))
    tagged = report.attempt("prompt", lambda: take_tags(prompt))
    rows = [
        {"name": name, "strength": strength, **_match(name, names)}
        for name, strength in zip(listed or [], values or [1.0] * len(listed or []), strict=True)
    ]
    tags = [_tag(tag, names, report.units) for tag in tagged[1]] if tagged else []
    return {"rows": rows, "tags": tags, "problems": report.problems}


class _Report:
    """Collects what is wrong while reading goes on."""

    def __init__(self, text: str, negative: str) -> None:
        self.problems: list[dict[str, Any]] = []
        self.units = _units(text)
        self._negative_units = _units(negative)

    def attempt(self, source: str, read: Callable[[], Any]) -> Any:
        """What `read` returns, or None and a problem of the input `source`."""
        try:
            return read()
        except OneBreakError as error:
            fix = {"at": self.units(error.insert_at), "insert": error.insert}
            self._add(source, error, fix=fix)
        except (ValueError, AliasFileError) as error:
            self._add(source, error)
        return None

    def _add(self, source: str, error: ValueError, **more: Any) -> None:
        problem: dict[str, Any] = {"input": source, "message": str(error), **more}
        # Brackets are checked part by part: where they stand in the whole is not known.
        if isinstance(error, PromptError) and source != "weights":
            units = self._negative_units if source == "negative" else self.units
            problem |= {"offset": units(error.offset), "line": error.line, "column": error.column}
        self.problems.append(problem)


def _units(text: str) -> Callable[[int], int]:
    """Offset in Python's characters -> offset in UTF-16 units."""
    if text.isascii():
        return lambda offset: offset
    return lambda offset: len(text[:offset].encode("utf-16-le", "surrogatepass")) // 2


def _part(
    part: Part, index: int, standing: list[int] | None, names: LoraNames | None,
    units: Callable[[int], int],
) -> dict[str, Any]:  # fmt: skip
    person = index - len(ROLES)
    return {
        "role": ROLES[index] if person < 0 else "person",
        "number": person + 1 if person >= 0 else None,
        "place": standing.index(person) if standing is not None and person >= 0 else None,
        "text": part.text,
        "start": units(part.start),
        "end": units(part.end),
        "loras": [_tag(tag, names, units) for tag in part.loras],
    }


def _tag(tag: LoraTag, names: LoraNames | None, units: Callable[[int], int]) -> dict[str, Any]:
    where = {"start": units(tag.start), "end": units(tag.end)}
    weights = {"weight": tag.weight, "clip_weight": tag.clip_weight}
    return {"name": tag.name, **weights, **where, **_match(tag.name, names)}


def _match(name: str, names: LoraNames | None) -> dict[str, Any]:
    if names is None:
        return {"status": "unknown", "file": "", "nearest": [], "message": ""}
    return asdict(names.match(name))
