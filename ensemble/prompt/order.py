"""The widget `order`: who stands where, from left to right."""

from .errors import shown


def parse_order(order: str) -> tuple[int, ...]:
    """`"2,1"` -> (2, 1): the person at each place from left to right, 0 for nobody. May be empty."""
    numbers = order.replace(",", " ").split()
    if not all(number.isdecimal() for number in numbers):
        raise ValueError(
            f'order: "{order}" must name who stands where, from left to right, like "2,1"; '
            "0 leaves a body out."
        )
    people = tuple(int(number) for number in numbers)
    named = sorted(person for person in people if person)
    if named != list(range(1, len(named) + 1)):
        raise ValueError(
            f'order: "{order}" must name each person from 1 to {max(people)} once; '
            "0 leaves a body out."
        )
    return people


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
