"""The leak meter: a finished picture, people and a picture of each -> how much everybody is themselves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from ..faces.boxes import Face
from ..faces.choices import Source
from ..faces.detect import Sources, find_faces
from ..faces.draw import numbered
from ..faces.match import Standing, distances, match
from ..faces.references import named_pictures, parse_names
from ..regions.layout import Layout, lay_out
from ..regions.rect import Rect
from .choices import AUTO
from .embedder import View, similarities
from .measure import Measures, measure
from .registry import Chosen, choose

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MeterSettings:
    embedder: str = AUTO
    # The similarity below which somebody is not themselves; 0: the embedder's own.
    threshold: float = 0.0
    source: Source = Source.AUTO


class Reference(NamedTuple):
    """A person as they should look: a name to show, and pictures `[1,H,W,C]`, of which the first with a
    face counts."""

    name: str
    pictures: Sequence[torch.Tensor]


class Place(NamedTuple):
    region: torch.Tensor
    head: Rect | None = None


@dataclass(frozen=True)
class Reading:
    """One picture: its faces from left to right, at whose place each is, `[faces,people]` of
    similarity, and what follows."""

    faces: tuple[Face, ...]
    places: tuple[int | None, ...]
    similarity: np.ndarray
    measures: Measures


@dataclass(frozen=True)
class Readings:
    names: tuple[str, ...]
    embedder: str
    pictures: tuple[Reading, ...]
    notes: tuple[str, ...] = field(default=())

    def mean(self, figure: str) -> float | None:
        """The mean of a figure of `Measures` over the pictures that have it."""
        values = [getattr(each.measures, figure) for each in self.pictures]
        known = [float(value) for value in values if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def count(self) -> int:
        """Faces in all pictures."""
        return sum(each.measures.faces for each in self.pictures)


def references_of(linked: torch.Tensor | None, names: str) -> list[Reference]:
    """Of a batch IMAGE `[K,H,W,C]`, else of the people of the alias file. ValueError without any."""
    if linked is not None:
        return [Reference(f"person {i}", [each[None]]) for i, each in enumerate(linked, 1)]
    if not parse_names(names):
        raise ValueError(
            "references: link a picture of each person, in the order of the prompt, or give in names "
            "people of the alias file that have faces."
        )
    return [Reference(name, list(pictures)) for name, pictures in named_pictures(names)]


def read_leak(
    image: torch.Tensor,
    references: Sequence[Reference],
    people: Sequence[Standing] | None,
    sources: Sources,
    settings: MeterSettings,
) -> Readings:
    """Measure every picture of IMAGE `[B,H,W,C]`.

    people: where everybody should be; without them, columns of equal width from left to right. A
    picture without a face is a result. ValueError, before anything is loaded, for another number of
    references than people, and where no embedder is there.
    """
    if people is not None and len(people) != len(references):
        raise ValueError(
            f"references: {len(references)} for {len(people)} people. Give one for each person, in "
            "the order of the prompt."
        )
    if image.shape[0] == 0:
        raise ValueError("image holds no picture; link at least one.")
    chosen = choose(settings.embedder)
    threshold = settings.threshold or chosen.embedder.threshold
    seen, notes = _faces_of(references, sources)
    # Left to right, wherever they come from: the numbers in the picture count so.
    found = [
        sorted(row, key=lambda f: f.box.centre)
        for row in find_faces(image, sources, settings.source)
    ]
    places = people or [Place(m) for m in lay_out(len(references), Layout.COLUMNS, 0.0)]
    tables = _compare(chosen, image, found, seen)
    readings = []
    for faces, table in zip(found, tables, strict=True):
        at = match(distances([f.box for f in faces], places, image.shape[2], image.shape[1]))
        figures = measure(table, at, threshold)
        readings.append(Reading(tuple(faces), tuple(at), table, figures))
    names = tuple(reference.name for reference in references)
    return Readings(names, chosen.embedder.title, tuple(readings), tuple(notes))


def _faces_of(references: Sequence[Reference], sources: Sources) -> tuple[list[View], list[str]]:
    """The biggest face of each person's pictures, by a detector that looks at pictures: pose, mask
    and heads belong to another one."""
    lookers = Sources(face_detection=sources.face_detection, yunet=sources.yunet)
    views, notes = [], []
    for reference in references:
        for picture in reference.pictures:
            faces = find_faces(picture, lookers, Source.AUTO)[0]
            if faces:
                views.append(View(picture[0], max(faces, key=lambda face: face.box.side)))
                break
        else:
            first = reference.pictures[0][0]
            whole = Face.at(0, 0, first.shape[1], first.shape[0])
            views.append(View(first, whole))
            line = f"reference of {reference.name}: no face was found, so the whole picture counts as one"
            log.warning("EnsembleLeakMeter: %s", line)
            notes.append(line)
    return views, notes


def _compare(
    chosen: Chosen, image: torch.Tensor, found: list[list[Face]], people: list[View]
) -> list[np.ndarray]:
    """`[faces,people]` of each picture; everything is embedded in one go."""
    views = [View(p, face) for p, row in zip(image, found, strict=True) for face in row]
    if not views:
        return [np.zeros((0, len(people)))] * len(found)
    embedded = chosen.embedder.embed(chosen.found, [*people, *views])
    table = similarities(embedded[len(people) :], embedded[: len(people)])
    return np.split(table, np.cumsum([len(row) for row in found])[:-1])


def numbered_people(image: torch.Tensor, readings: Readings) -> torch.Tensor:
    """IMAGE `[B,H,W,3]` with a numbered box for each face: who it should be and how much it is;
    green where it is right."""
    drawn = []
    for picture, each in zip(image, readings.pictures, strict=True):
        right = {p.face: p.person for p in each.measures.people if p.right}
        labels = [_label(each, face, readings.names) for face in range(len(each.faces))]
        owners = [right.get(face) for face in range(len(each.faces))]
        drawn.append(numbered(picture, faces=each.faces, labels=labels, owners=owners))
    return torch.stack(drawn)


def _label(reading: Reading, face: int, names: Sequence[str]) -> str:
    person = reading.places[face]
    if person is None:
        return "nobody's place"
    figures = reading.measures.people[person]
    text = f"{names[person]} {figures.own:.2f}"
    if figures.right or figures.other is None:
        return text
    other = figures.other_person if figures.other_person is not None else person
    return f"{text}, {names[other]} {figures.other:.2f}"
