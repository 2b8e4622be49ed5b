"""Who is named in a text, as JSON for the graph editor; read as the node EnsembleCast reads it."""

from typing import Any

from ...lora.aliases import read_cast_or_aliases
from ...prompt.cast import Cast, Expanded, expand
from ...prompt.errors import InputProblems
from ...prompt.grammar import split_parts
from .readings import ROLES, tell_problems, units_of


def tell_cast(text: str, negative: str = "", cast: str = "") -> dict[str, Any]:
    """`people`: everybody of the cast with the text that stands for them. `named`: each @name of the text
    with its place, and the `number` of the person whose part it stands in, from 1. `problems`."""
    found = InputProblems()
    people = found.attempt("cast", lambda: read_cast_or_aliases(cast)) or Cast()
    read = found.attempt("text", lambda: expand(text, people))
    found.attempt("negative", lambda: expand(negative, people))
    return {
        "people": [{"name": each.name, "text": each.text} for each in people.members.values()],
        "named": _named(text, read) if read else [],
        "problems": tell_problems(found, text, negative),
    }


def _named(text: str, read: Expanded) -> list[dict[str, Any]]:
    units = units_of(text)
    people = list(enumerate(split_parts(text)[len(ROLES) :], 1))
    return [
        {
            "name": each.name,
            "start": units(each.start),
            "end": units(each.end),
            "number": next((n for n, part in people if part.start <= each.start < part.end), None),
        }
        for each in read.mentions
    ]
