"""Face swap: the people's own faces, painted by their LoRAs, or warped from reference pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..regional.people import People
from .boxes import Face, left_to_right
from .detect import usable
from .inpaint import FaceSettings, Unmatched, check, inpaint_faces
from .landmarks import FaceInputs, aligned_faces, chosen_faces
from .match import assign
from .painters import FacePainter
from .redraw import RedrawSettings
from .warp import Reference, Warp, opencv, warp_faces


@dataclass(frozen=True, kw_only=True)
class Repaint:
    """What paints faces: FaceInpaint's own parts."""

    vae: Any
    painter: FacePainter
    settings: RedrawSettings


@dataclass(frozen=True)
class Swapped:
    image: torch.Tensor
    # A line for each face that stays as it is.
    notes: tuple[str, ...] = ()


def redraw_faces(
    image: torch.Tensor, inputs: FaceInputs, repaint: Repaint | None, strength: float
) -> torch.Tensor:
    """Every face of IMAGE `[B,H,W,C]` painted again as its person; faces that are nobody's stay.

    strength 0..1: how much of the new picture shows.
    """
    if repaint is None:
        raise ValueError(
            "mode: redraw needs vae and people, or vae, model, positive and negative. Link them, or "
            "choose warp."
        )
    if strength == 0:
        return image
    faces = chosen_faces(image, inputs).faces
    return torch.lerp(image, _repainted(image, faces, inputs.people, repaint), strength)


def lay_faces(
    image: torch.Tensor,
    inputs: FaceInputs,
    references: Sequence[Reference],
    warp: Warp,
    repaint: Repaint | None,
    strength: float,
) -> Swapped:
    """References' faces laid over those of IMAGE `[B,H,W,C]`, and painted over where `repaint` is
    given.

    Reference k is for person k of `inputs.people`; without people for the k-th face from the left,
    a single one for all. ValueError without references or landmarks.
    """
    opencv()
    if not references:
        raise ValueError(
            "mode: warp needs reference pictures: link reference, or give in names people of the "
            "alias file that have faces."
        )
    if strength == 0:
        return Swapped(image)
    found = aligned_faces(image, inputs)
    pairs, notes = [], list(found.notes)
    for row in found.faces:
        owners = owners_of(row, inputs.people, image.shape[2], image.shape[1], len(references))
        paired, left = pair_up(row, owners, references)
        pairs.append(paired)
        notes += left
    if not any(pairs):
        return Swapped(image, tuple(notes))
    result = warp_faces(image, pairs, warp)
    if repaint is not None:
        result = _repainted(result, found.faces, inputs.people, repaint)
    return Swapped(torch.lerp(image, result, strength), tuple(notes))


def owners_of(
    faces: Sequence[Face], people: People | None, width: int, height: int, references: int
) -> list[int | None]:
    """Which reference each face gets, by number, or None."""
    if people is not None and people.people:
        return assign(faces, people, width, height)
    if references == 1:
        return [0] * len(faces)
    line = sorted(range(len(faces)), key=lambda i: faces[i].box.centre)
    return [line.index(i) for i in range(len(faces))]


def pair_up(
    faces: Sequence[Face], owners: Sequence[int | None], references: Sequence[Reference]
) -> tuple[list[tuple[Face, Reference]], list[str]]:
    """Each face with its reference, and a line for each face that stays as it is."""
    pairs, notes = [], []
    for face, owner in zip(faces, owners, strict=True):
        x, y = face.box.centre
        if owner is None or owner >= len(references):
            notes.append(f"the face at {x:.0f},{y:.0f} has no reference and stays")
        elif face.landmarks is None:
            notes.append(f"the face at {x:.0f},{y:.0f} has no landmarks and stays")
        else:
            pairs.append((face, references[owner]))
    return pairs, notes


def _repainted(
    image: torch.Tensor,
    faces: Sequence[Sequence[Face]],
    people: People | None,
    repaint: Repaint,
) -> torch.Tensor:
    settings = FaceSettings(redraw=repaint.settings, unmatched=Unmatched.LEAVE)
    check(image, settings)
    height, width = image.shape[1:3]
    rows = [left_to_right(usable(row, width, height)) for row in faces]
    return inpaint_faces(image, rows, people, repaint.vae, repaint.painter, settings).image
