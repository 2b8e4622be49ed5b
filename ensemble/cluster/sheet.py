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
        field = next((each for each in _TEXTS if _is_text(value, each)), None)
        if field is None:
            yield Row(row.line, row.value, error="a scene is a text, or has one as text or prompt")
            continue
        scene = value.get("name") or row.name or f"scene {number}"
        yield from _scene(row, value, field, str(scene), cast, seeds)


def _is_text(value: Any, name: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(name), str)


def _scene(
    row: Row, value: dict[str, Any], field: str, scene: str, cast: Cast, seeds: Sequence[int]
) -> Iterator[Row]:
    text = value[field]
    each = bool(_EACH.search(text))
    for person in [member.name for member in cast.members.values()] if each else [""]:
        filled = _EACH.sub(f"@{person}", text)
        try:
            people = [member.name for member in expand(filled, cast).people]
        except PromptError as error:
            yield Row(row.line, value, scene, str(error))
            return
        if not people:
            words = "the scene has no person: write @each for everybody, or a name of the cast"
            yield Row(row.line, value, scene, words)
            return
        who = person or " and ".join(people)
        for seed in seeds or [None]:
            more = {} if seed is None else {"seed": seed}
            name = "-".join(filter(None, (scene, person, "" if seed is None else str(seed))))
            made = {**value, field: filled, "name": name, **more}
            yield Row(row.line, made, name, cell=Cell(scene, who, seed))
