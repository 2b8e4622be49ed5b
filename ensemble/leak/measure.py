"""How much everybody is themselves and how much somebody else: figures from similarities alone.

Row f of a similarity matrix `[faces,people]` is face f of the picture, column p is person p as they
should look; higher is more alike. `places` says at whose place each face is (None: at nobody's).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..faces.match import cheapest


@dataclass(frozen=True)
class Likeness:
    """One person, and the face at their place; all but `person` is None for who has no face."""

    person: int
    face: int | None = None
    own: float | None = None
    """Similarity of that face to this person."""
    other: float | None = None
    """The highest similarity of that face to anybody else; None where there is nobody else."""
    other_person: int | None = None
    id_conf: float | None = None

    @property
    def right(self) -> bool:
        """More like the person than like anybody else. Each face is judged by itself: an assignment
        would give the second of two faces of Ann to Ben, for want of others."""
        return self.own is not None and (self.other is None or self.own > self.other)

    @property
    def looks_like(self) -> int | None:
        """Whom the face is most like; None where that is not decided."""
        if self.right:
            return self.person
        return self.other_person if self.other != self.own else None


@dataclass(frozen=True)
class Measures:
    """Of one picture. Shares and means are over people who have a face, None where nobody has:
    a person who is missing lowers the count and nothing else."""

    people: tuple[Likeness, ...]
    faces: int
    threshold: float
    matched: float | None = None
    """Mean similarity of faces to the people that they are assigned to, wherever they are: the
    identity figure of benchmarks that know no places."""

    @property
    def asked(self) -> int:
        return len(self.people)

    @property
    def count_right(self) -> bool:
        """As many faces as people asked for, strangers counted (as MultiHuman-Testbench counts)."""
        return self.faces == self.asked

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(p.person for p in self.people if p.face is None)

    @property
    def right_share(self) -> float | None:
        """Share of people whose face is right: see Likeness."""
        return _mean([float(p.right) for p in self.people if p.face is not None])

    @property
    def similarity(self) -> float | None:
        """Mean similarity of people's faces to themselves."""
        return _mean([p.own for p in self.people])

    @property
    def id_conf(self) -> float | None:
        """Mean ID-Conf, see `id_conf`; None with fewer than two faces."""
        return _mean([p.id_conf for p in self.people])

    @property
    def scr(self) -> float | None:
        """Subject Collapse Rate: the share of people whose similarity to themselves is below the
        threshold ("When Identities Collapse", arXiv 2603.26078, with DINOv2)."""
        own = [p.own for p in self.people if p.own is not None]
        return _mean([float(value < self.threshold) for value in own])

    @property
    def swapped(self) -> tuple[tuple[int, int], ...]:
        """Pairs of people each of whom looks like the other."""
        faces = [p for p in self.people if p.face is not None]
        pairs = combinations(faces, 2)
        return tuple(
            (a.person, b.person)
            for a, b in pairs
            if (a.looks_like, b.looks_like) == (b.person, a.person)
        )


def measure(similarity: np.ndarray, places: Sequence[int | None], threshold: float) -> Measures:
    """The figures of a picture from `[faces,people]` and everybody's place.

    `matched` is over the assignment of the highest total similarity, each person once (the Hungarian
    method, as MultiHuman-Testbench matches faces to people). ValueError where places are no one's or
    taken twice.
    """
    faces, asked = similarity.shape
    taken = [p for p in places if p is not None]
    if len(places) != faces or len(set(taken)) != len(taken) or not set(taken) <= set(range(asked)):
        raise ValueError(
            f"places is {list(places)}: give for each of {faces} faces a person from 0 to "
            f"{asked - 1}, nobody twice, or None."
        )
    matched = [float(similarity[pair]) for pair in cheapest(-similarity)]
    at = {person: face for face, person in enumerate(places) if person is not None}
    people = [_likeness(similarity, p, at[p]) if p in at else Likeness(p) for p in range(asked)]
    return Measures(tuple(people), faces, threshold, _mean(matched))


def _likeness(similarity: np.ndarray, person: int, face: int) -> Likeness:
    others = similarity[face].astype(float)
    others[person] = -np.inf
    other = int(others.argmax()) if len(others) > 1 else None
    return Likeness(
        person=person,
        face=face,
        own=float(similarity[face, person]),
        other=None if other is None else float(others[other]),
        other_person=other,
        id_conf=id_conf(similarity[:, person]),
    )


def id_conf(similarities: np.ndarray) -> float | None:
    """`1 - second best / best` of one person's similarity to every face `[faces]`: how clearly a
    single face is that person (UMO, arXiv 2509.06818; `eval/id_conf_xversebench.py` of its code).

    As there: 0 where the best is 0 or below, since nobody looks like the person; at most 1, where
    the second best is 0 or below; None with fewer than two faces, among which none can be confused.
    Otherwise than there, `measure` asks it only of people who have a face.
    """
    if len(similarities) < 2:
        return None
    second, best = (float(value) for value in np.sort(similarities)[-2:])
    return min(1.0, 1.0 - second / best) if best > 0 else 0.0


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
