"""Whose reference goes where, what a swap hands on, and bad input."""

import sys

import numpy as np
import pytest
import torch
from astronaut import (
    ANCHORS,
    BOX,
    face,
    face_landmarks,
    picture,
)
from ensemble_portraits.ensemble.faces import swap
from ensemble_portraits.ensemble.faces.boxes import Face, Landmarks
from ensemble_portraits.ensemble.faces.inpaint import Redrawn
from ensemble_portraits.ensemble.faces.landmarks import FaceInputs
from ensemble_portraits.ensemble.faces.painters import PlainPainter
from ensemble_portraits.ensemble.faces.redraw import RedrawSettings
from ensemble_portraits.ensemble.faces.swap import (
    Repaint,
    lay_faces,
    owners_of,
    pair_up,
    redraw_faces,
)
from ensemble_portraits.ensemble.faces.warp import (
    Reference,
    Warp,
)
from ensemble_portraits.ensemble.regional.people import People, Person
from ensemble_portraits.ensemble.regions.rect import Rect, Unit
from hypothesis import given
from hypothesis import strategies as st


def reference(dense: bool = False) -> Reference:
    return Reference(picture()[0], face(dense))


def people(heads: list[Rect | None]) -> People:
    everybody = tuple(
        Person(None, None, (), None, torch.zeros(8, 8), head)  # type: ignore[arg-type]
        for head in heads
    )
    return People(None, None, None, None, "", everybody)  # type: ignore[arg-type]


def at(x: float, y: float = 100.0, landmarks: bool = True) -> Face:
    shift = np.array([x - BOX.box.centre[0], y - BOX.box.centre[1]])
    face = Face.at(x - 20, y - 20, x + 20, y + 20)
    return face.with_landmarks(Landmarks(ANCHORS + shift) if landmarks else None)


@given(st.permutations([0, 1, 2]))
def test_a_reference_follows_its_person(order):
    """Whatever order faces come in, person k's reference goes to person k's head."""
    places = [100.0, 250.0, 400.0]
    group = people([Rect.fractions((x - 30) / 512, 0.1, (x + 30) / 512, 0.3) for x in places])
    faces = [at(places[k]) for k in order]
    assert owners_of(faces, group, 512, 512, 3) == list(order)
    # One face is missed: the others keep theirs.
    assert owners_of(faces[1:], group, 512, 512, 3) == list(order[1:])


def test_without_people_left_to_right_and_one_for_all():
    faces = [at(400), at(100), at(250)]
    assert owners_of(faces, None, 512, 512, 3) == [2, 0, 1]
    assert owners_of(faces, None, 512, 512, 1) == [0, 0, 0]


def test_faces_without_reference_or_landmarks_stay_and_are_named():
    faces = [at(100), at(250, landmarks=False), at(400)]
    pairs, notes = pair_up(faces, [0, 1, 2], [reference(), reference()])
    assert len(pairs) == 1 and pairs[0][0] is faces[0]
    assert "250,100 has no landmarks" in notes[0] and "400,100 has no reference" in notes[1]


def linked(*faces: Face) -> FaceInputs:
    return FaceInputs(landmarks=face_landmarks(list(faces)))


def test_laying_is_warping_blended_by_strength():
    target, other = picture(), Reference(1 - picture()[0], face())
    whole = lay_faces(target, linked(face()), [other], Warp(), None, 1.0)
    half = lay_faces(target, linked(face()), [other], Warp(), None, 0.5)
    assert torch.allclose(half.image, (target + whole.image) / 2, atol=1e-6)
    same = whole.image == target
    assert torch.equal(half.image[same], target[same]) and 0 < (~same).float().mean() < 0.1
    assert lay_faces(target, linked(face()), [other], Warp(), None, 0.0).image is target


def test_nobody_in_the_picture_is_said():
    swapped = lay_faces(picture(), linked(), [reference()], Warp(), None, 1.0)
    assert torch.equal(swapped.image, picture())
    assert swapped.notes == ("picture 1: no face, left as it is",)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="link reference"):
        lay_faces(picture(), linked(face()), [], Warp(), None, 1.0)
    with pytest.raises(ValueError, match="vae and people"):
        redraw_faces(picture(), linked(face()), None, 1.0)


def test_without_opencv_one_line_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="opencv-python"):
        lay_faces(picture(), linked(face()), [reference()], Warp(), None, 1.0)


def test_boxes_reach_the_redraw_one_by_one(monkeypatch):
    """Boxes that touch stay two faces; each is redrawn where it is, to the fraction of a pixel."""
    boxes = [
        {"x": 100.25, "y": 100, "width": 49.75, "height": 60},
        {"x": 150, "y": 110, "width": 40, "height": 40},
        {"x": 300, "y": 300, "width": 30, "height": 30},
    ]
    seen = []

    def spy(image, rows, *_):
        seen.extend(rows)
        return Redrawn(image, image[..., 0], [])

    monkeypatch.setattr(swap, "inpaint_faces", spy)
    painter = PlainPainter(None, [], [])  # type: ignore[arg-type]
    repaint = Repaint(vae=None, painter=painter, settings=RedrawSettings())
    redraw_faces(picture(), FaceInputs(boxes=boxes), repaint, 1.0)
    assert [face.box for face in seen[0]] == [
        Rect.sized(box["x"], box["y"], box["width"], box["height"], Unit.PIXELS) for box in boxes
    ]
