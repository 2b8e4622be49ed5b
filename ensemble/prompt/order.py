"""The widget `order`: who stands where, from left to right, and who is in front.

`2,1+`: person 2 on the left, person 1 on the right and in front; more signs are farther in front.
"""

import re

from .errors import shown

_PLACE = re.compile(r"(\d+)(\+*)")


def parse_order(order: str) -> tuple[int, ...]:
    """`"2,1"` -> (2, 1): the person at each place from left to right, 0 for nobody. May be empty."""
    places = _places(order)
    if not all(places):
        raise ValueError(
            f'order: "{order}" must name who stands where, from left to right, like "2,1"; '
            "0 leaves a body out, and 1+ puts person 1 in front."
        )
    people = tuple(int(place[1]) for place in places if place)
    named = sorted(person for person in people if person)
    if named != list(range(1, len(named) + 1)):
        raise ValueError(
            f'order: "{order}" must name each person from 1 to {max(people)} once; '
            "0 leaves a body out."
        )
    return people


def parse_front(order: str, people: int) -> tuple[int, ...] | None:
    """How far in front each of `people` persons is said to be, in prompt order; None where nothing
    is said. `order` is one that `parse_order` takes."""
    signs = {int(place[1]): len(place[2]) for place in _places(order) if place and int(place[1])}
    if not any(signs.values()):
        return None
    return tuple(signs.get(person, 0) for person in range(1, people + 1))


def _places(order: str) -> list[re.Match[str] | None]:
    return [_PLACE.fullmatch(place) for place in order.replace(",", " ").split()]


def read_order(order: str, people: int) -> tuple[int, ...]:
    """`"2,1"` -> (1, 0): the person (from 0) at each place, where everybody must have one. Empty is
    prompt order.
    """
    if not order.strip():
        return tuple(range(people))
    try:
        places = tuple(person - 1 for person in parse_order(order))
    except ValueError:
        places = ()
    if sorted(places) != list(range(people)):
        example = ",".join(str(n) for n in range(people, 0, -1)) or "nothing"
        raise ValueError(
            f"Input 'order' is {shown(order)} and must name each of the {people} people once, from "
            f"left to right, such as {example!r}. Leave it empty for prompt order."
        )
    return places
