"""Cast x scenes x seeds: rows of scenes -> rows of jobs, and where each stands on the contact sheet.

`@each` in a scene is every person of the cast in turn, one picture each; `@ann` is Ann. A scene
that names nobody is no scene.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..prompt.cast import Cast, expand
from ..prompt.errors import PromptError
from .rows import Row

_EACH = re.compile(r"(?<![\w@\\])@each(?![\w-])")
_TEXTS = ("text", "prompt")


@dataclass(frozen=True)
class Cell:
    """`scene` is the row of the sheet; `person` and `seed` make the column."""

    scene: str
    person: str
    seed: int | None


def expand_rows(rows: Iterable[Row], cast: Cast, seeds: Sequence[int]) -> Iterator[Row]:
    """Each scene's row as the rows of its pictures, in the cast's order and then the seeds'."""
    for number, row in enumerate(rows, 1):
        if row.error:
            yield row
            continue
        value = {"text": row.value} if isinstance(row.value, str) else row.value
        texts = _texts(value)
        if not texts:
            words = (
                "a scene is a text, has one as text or prompt, or is a graph with texts in 'set'"
            )
            yield Row(row.line, row.value, error=words)
            continue
        scene = value.get("name") or row.name or f"scene {number}"
        yield from _scene(row, value, texts, str(scene), cast, seeds)


def _texts(value: Any) -> dict[str, str]:
    """The scene's texts: of a graph what is set in it, of anything else the first of its own."""
    if not isinstance(value, dict):
        return {}
    if "graph" in value:
        slots = value.get("set")
        slots = slots if isinstance(slots, dict) else {}
        return {slot: each for slot, each in slots.items() if isinstance(each, str)}
    return {each: value[each] for each in _TEXTS if isinstance(value.get(each), str)}


def _with_texts(value: dict[str, Any], texts: dict[str, str]) -> dict[str, Any]:
    if "graph" in value:
        return {**value, "set": {**value["set"], **texts}}
    return {**value, **texts}


def _scene(
    row: Row, value: dict[str, Any], texts: dict[str, str], scene: str, cast: Cast,
    seeds: Sequence[int],
) -> Iterator[Row]:  # fmt: skip
    each = any(_EACH.search(text) for text in texts.values())
    for person in [member.name for member in cast.members.values()] if each else [""]:
        filled = {slot: _EACH.sub(f"@{person}", text) for slot, text in texts.items()}
        try:
            found = [expand(text, cast).people for text in filled.values()]
        except PromptError as error:
            yield Row(row.line, value, scene, str(error))
            return
        people = list(dict.fromkeys(member.name for each in found for member in each))
        if not people:
            words = "the scene has no person: write @each for everybody, or a name of the cast"
            yield Row(row.line, value, scene, words)
            return
        who = person or " and ".join(people)
        for seed in seeds or [None]:
            more = {} if seed is None else {"seed": seed}
            name = "-".join(filter(None, (scene, person, "" if seed is None else str(seed))))
            made = {**_with_texts(value, filled), "name": name, **more}
            yield Row(row.line, made, name, cell=Cell(scene, who, seed))
