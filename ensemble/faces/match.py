"""Which face is whose: by where the people's heads and regions are, never by counting."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from ..regional.people import People
from ..regions.rect import Rect
from .boxes import Face

REACH = 1.5
"""In head sizes: a face farther away from a head is not that head's."""
_LEAST_COVER = 0.25
"""Without a known head: the least mean weight of the person's region over the face."""


class Standing(Protocol):
    """Where somebody stands, as a Person of PEOPLE knows it."""

    @property
    def region(self) -> torch.Tensor: ...
    @property
    def head(self) -> Rect | None: ...


def cheapest(costs: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of the least total cost, each row and column once at most: the Hungarian
    method (Kuhn 1955). Infinity is impossible; as many rows as can be get a column."""
    possible = np.isfinite(costs)
    if not possible.any():
        return []
    least, most = costs[possible].min(), costs[possible].max()
    # What is impossible costs more than any assignment without it.
    dear = most + 1.0 + (most - least) * min(costs.shape)
    rows, columns = linear_sum_assignment(np.where(possible, costs, dear))
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in pairs if possible[row, column]]


def match(distances: np.ndarray, reach: float = REACH) -> list[int | None]:
    """Each row's (face's) column (person), or None; a person has one face at most.

    Pairs that are each other's nearest first, so that a stray face cannot pull a clear pair apart;
    the Hungarian method for the rest. distances `[faces,people]`, infinity for impossible.
    """
    owners: list[int | None] = [None] * distances.shape[0]
    if not distances.size:
        return owners
    possible = np.where(distances <= reach, distances, np.inf)
    nearest = possible.argmin(axis=1)
    for face, person in enumerate(nearest):
        if np.isfinite(possible[face, person]) and possible[:, person].argmin() == face:
            owners[face] = int(person)
    faces = [f for f, owner in enumerate(owners) if owner is None]
    people = [p for p in range(distances.shape[1]) if p not in owners]
    for row, column in cheapest(possible[np.ix_(faces, people)]):
        owners[faces[row]] = people[column]
    return owners


def distances(
    faces: Sequence[Rect], people: Sequence[Standing], width: int, height: int
) -> np.ndarray:
    """`[faces,people]` in head sizes; infinity where it cannot be."""
    table = np.full((len(faces), len(people)), np.inf)
    for row, face in enumerate(faces):
        for column, person in enumerate(people):
            if person.head is not None:
                table[row, column] = _from_head(face, person.head, width, height)
            else:
                table[row, column] = _from_region(face, person.region, width, height)
    return table


def _from_head(face: Rect, head: Rect, width: int, height: int) -> float:
    expected = face_of_head(head, width, height).box
    (x, y), (hx, hy) = face.centre, expected.centre
    return float(np.hypot(x - hx, y - hy) / max(face.side, expected.side, 1e-6))


def _from_region(face: Rect, region: torch.Tensor, width: int, height: int) -> float:
    """Distance across from the middle of the region, in its widths; infinity beside the region."""
    if float(face.as_fractions(width=width, height=height).cut(region).mean()) < _LEAST_COVER:
        return float("inf")
    columns = region.shape[1]
    profile = region.sum(0).double()
    place = torch.arange(columns, dtype=torch.float64) + 0.5
    middle = float((profile * place).sum() / profile.sum())
    spread = float(profile.sum() / profile.max())
    return abs(face.centre[0] * columns / width - middle) / max(spread, 1e-6)


def face_of_head(head: Rect, width: int, height: int) -> Face:
    """The face in a head with its hair: the lower four fifths of it, in pixels."""
    wide, tall = (head.right - head.left) * width, (head.bottom - head.top) * height
    left, top = head.left * width, head.top * height
    return Face.at(left + 0.15 * wide, top + 0.22 * tall, left + 0.85 * wide, top + 0.98 * tall)


def assign(faces: Sequence[Face], people: People, width: int, height: int) -> list[int | None]:
    """The person of each face, in the order of `faces`; None for faces that are nobody's."""
    return match(distances([face.box for face in faces], people.people, width, height))
