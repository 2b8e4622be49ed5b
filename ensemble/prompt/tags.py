"""`<lora:NAME:WEIGHT[:CLIP_WEIGHT]>` and `<ref:NAME>` tags: found, checked, and taken out of a prompt."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .errors import PromptError, shown

# `[^<>]*` stops at the next bracket, so a tag that is never closed costs one pass over its own text
# only.
TAG = re.compile(r"<lora:([^<>]*)(>?)", re.IGNORECASE)
REF = re.compile(r"<ref:(?P<picture>[^<>]*)(?P<closed>>?)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class LoraTag:
    """One tag. `start` and `end` are offsets in the text it was read from; weights are finite."""

    name: str
    weight: float
    clip_weight: float
    start: int
    end: int


@dataclass(frozen=True)
class RefTag:
    """`<ref:NAME>`: a person's reference picture. `start` and `end` as of LoraTag."""

    name: str
    start: int
    end: int


def take_tags(text: str) -> tuple[str, tuple[LoraTag, ...]]:
    """The text without its LoRA tags, tidied where they stood, and the tags in order.

    Raises PromptError for a tag without a name, with a weight that is not a finite number, or never
    closed.
    """
    tags = tuple(find_tags(text))
    return without_tags(text, tags), tags


def find_tags(text: str) -> Iterator[LoraTag]:
    for found in TAG.finditer(text):
        yield read_tag(text, found)


def read_tag(text: str, found: re.Match[str]) -> LoraTag:
    """The tag that TAG matched in `text`."""
    start, inner = found.start(), found[1]
    if not found[2]:
        raise PromptError(f"LoRA tag {shown(found[0])} is not closed: add '>'", text, start)
    fields = [field.strip() for field in inner.split(":")]
    if not fields[0]:
        raise PromptError(
            f"LoRA tag {shown(found[0])} has no name: write <lora:NAME:WEIGHT>", text, start
        )
    if len(fields) > 3:
        raise PromptError(
            f"LoRA tag {shown(found[0])} has more than <lora:NAME:WEIGHT:CLIP_WEIGHT>", text, start
        )
    weights = [_weight(field, found, text) for field in fields[1:]] or [1.0]
    return LoraTag(fields[0], weights[0], weights[-1], start, found.end())


def read_ref(text: str, found: re.Match[str]) -> RefTag:
    """The tag that REF, alone or in a longer pattern, matched in `text`."""
    name = found["picture"].strip()
    if not found["closed"]:
        raise PromptError(
            f"Reference tag {shown(found[0])} is not closed: add '>'", text, found.start()
        )
    if not name:
        raise PromptError(
            f"Reference tag {shown(found[0])} has no name: write <ref:NAME>, a picture in the input "
            "folder",
            text,
            found.start(),
        )
    return RefTag(name, found.start(), found.end())


def _weight(field: str, found: re.Match[str], text: str) -> float:
    value = parse_number(field)
    if value is None:
        raise PromptError(
            f"LoRA tag {shown(found[0])}: weight {shown(field)} is not a finite number",
            text,
            found.start(),
        )
    return value


def parse_number(field: str) -> float | None:
    """A plain finite decimal number, or None; `float` would also take nan, inf and 1_000."""
    if not _NUMBER.fullmatch(field):
        return None
    value = float(field)
    return value if math.isfinite(value) else None


def without_tags(
    text: str, tags: Sequence[LoraTag | RefTag], start: int = 0, end: int | None = None
) -> str:
    """`text[start:end]` without the tags in it, and without the doubled spaces and commas they
    would leave.
    """
    end = len(text) if end is None else end
    if not tags:
        return text[start:end]
    edges = [start, *(edge for tag in tags for edge in (tag.start, tag.end)), end]
    kept: list[str] = []
    gap = ""  # what separated the last kept piece from here: spaces and at most one comma
    for index in range(0, len(edges), 2):
        piece = text[edges[index] : edges[index + 1]]
        first, last = index == 0, index == len(edges) - 2
        body = piece if first else piece.lstrip(", \t\r\n")
        gap += piece[: len(piece) - len(body)]
        trimmed = body if last else body.rstrip(", \t\r\n")
        if trimmed:
            if kept:
                kept.append(_separator(gap))
            kept.append(trimmed)
            gap = body[len(trimmed) :]
        else:
            gap += body
    return "".join(kept)


def _separator(gap: str) -> str:
    if "," in gap:
        return ",\n" if "\n" in gap else ", "
    if "\n" in gap:
        return "\n"
    return " " if gap else ""
