"""The meter's figures for people and for programs."""

import json
from collections.abc import Sequence

from .measure import Likeness, Measures
from .meter import Reading, Readings

FIGURES = ("right_share", "similarity", "matched", "id_conf", "scr")
DIGITS = 4


def as_json(readings: Readings) -> str:
    """Every figure; null where one is not defined. Boxes are [left, top, right, bottom] in pixels."""
    whole = {figure: _short(readings.mean(figure)) for figure in FIGURES}
    whole["count"] = readings.count
    whole["count_right_share"] = _short(readings.mean("count_right"))
    pictures = [_picture(each, readings.names) for each in readings.pictures]
    report = {
        "embedder": readings.embedder, "threshold": readings.pictures[0].measures.threshold,
        "whole": whole, "pictures": pictures, "notes": list(readings.notes),
    }  # fmt: skip
    return json.dumps(report, indent=1)


def as_lines(readings: Readings) -> list[str]:
    """A line for each picture and each person."""
    lines = []
    for number, each in enumerate(readings.pictures, 1):
        m = each.measures
        line = f"picture {number}: {m.faces} faces for {m.asked} people"
        if m.right_share is not None:
            line += (
                f", right {m.right_share:.0%}, ID-Conf {_text(m.id_conf)}, collapsed {m.scr:.0%}"
            )
        lines.append(line)
        lines += [_person_line(p, readings.names) for p in m.people]
    return [*lines, *readings.notes]


def _person_line(person: Likeness, names: Sequence[str]) -> str:
    name = names[person.person]
    if person.face is None:
        return f"{name}: no face"
    line = (
        f"{name}: face {person.face + 1}, itself {_text(person.own)}, others {_text(person.other)}"
    )
    if person.right:
        return line
    return (
        f"{line}, looks like {'nobody' if person.looks_like is None else names[person.looks_like]}"
    )


def _picture(reading: Reading, names: Sequence[str]) -> dict:
    m: Measures = reading.measures
    return {
        "faces": m.faces, "asked": m.asked, "count_right": m.count_right,
        **{figure: _short(getattr(m, figure)) for figure in FIGURES},
        "missing": [names[p] for p in m.missing],
        "swapped": [[names[a], names[b]] for a, b in m.swapped],
        "people": [_person(p, names) for p in m.people],
        "similarity": [[_short(value) for value in row] for row in reading.similarity.tolist()],
        "boxes": [
            [round(v, 1) for v in (f.box.left, f.box.top, f.box.right, f.box.bottom)]
            for f in reading.faces
        ],
    }  # fmt: skip


def _person(person: Likeness, names: Sequence[str]) -> dict:
    return {
        "name": names[person.person],
        "face": None if person.face is None else person.face + 1,
        "right": person.right if person.face is not None else None,
        "looks_like": None if person.looks_like is None else names[person.looks_like],
        "own": _short(person.own),
        "best_other": _short(person.other),
        "id_conf": _short(person.id_conf),
    }  # fmt: skip


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
