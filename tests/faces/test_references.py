"""Reference pictures of faces: from a socket, or of the alias file's people."""

import json

import folder_paths
import numpy as np
import pytest
import torch
from astronaut import (
    ANCHORS,
    face,
    face_landmarks,
    face_through,
    picture,
    turned,
)
from ensemble_portraits.ensemble.faces import references as people_pictures
from ensemble_portraits.ensemble.faces.references import (
    linked_references,
    reference_files,
    references_fingerprint,
)
from ensemble_portraits.ensemble.lora import aliases


def test_the_biggest_face_of_each_reference_picture_is_taken():
    small = face_through(turned(0, 0.3, 100, 200))
    (taken,) = linked_references(picture(), face_landmarks([small, face()]), None)
    np.testing.assert_allclose(taken.face.landmarks.anchors, ANCHORS, rtol=1e-6)


def test_a_reference_without_face_is_named():
    frames = {**face_landmarks([face()]), "frames": [face_landmarks([face()])["frames"][0], []]}
    with pytest.raises(ValueError, match="picture 2"):
        linked_references(picture().repeat(2, 1, 1, 1), frames, None)


@pytest.fixture
def input_folder(tmp_path, monkeypatch):
    """An empty input folder and alias file, for one test."""
    from PIL import Image

    (tmp_path / "input" / "faces").mkdir(parents=True)
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    monkeypatch.setattr(aliases, "alias_path", lambda: tmp_path / "aliases.json")
    pixels = (picture()[0].numpy() * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "input" / "faces" / "ann.png")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "input" / "broken.png").write_bytes(b"no picture")
    entries = {
        "ann": {"faces": ["faces/ann.png"]},
        "bea": {"faces": "faces/ann.png"},
        "cat": {"lora": "cat.safetensors"},
        "dan": {"faces": ["../secret.png"]},
        "eve": {"faces": ["gone.png"]},
        "fay": {"faces": ["broken.png"]},
        "gil": {"faces": [3]},
    }
    (tmp_path / "aliases.json").write_text(json.dumps({"people": entries}))
    return tmp_path / "input"


def test_named_people_have_their_pictures(input_folder, monkeypatch):
    assert [len(files) for files in reference_files("ann, bea,")] == [1, 1]
    assert reference_files("") == []
    from ensemble_portraits.ensemble.faces.landmarks import Found

    seen = lambda images, inputs: Found([[face()]])  # noqa: E731
    monkeypatch.setattr(people_pictures, "aligned_faces", seen)
    (taken,) = people_pictures.named_references("ann", None)
    assert torch.equal(taken.picture, picture()[0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zoe", "There: 'ann', 'bea'"),
        ("cat", "no faces"),
        ("dan", "input folder"),
        ("eve", "gone.png"),
        ("gil", "no faces"),
    ],
)
def test_bad_names_are_named(input_folder, name, message):
    with pytest.raises(ValueError, match=message) as raised:
        reference_files(f"ann, {name}")
    assert name in str(raised.value)


def test_a_broken_picture_is_named(input_folder):
    with pytest.raises(ValueError, match=r"fay.*broken\.png is no picture"):
        people_pictures.named_references("fay", None)


def test_an_edited_picture_counts_as_new(input_folder):
    import os

    before = references_fingerprint("ann")
    assert references_fingerprint("ann") == before
    os.utime(input_folder / "faces" / "ann.png", ns=(1, 1))
    assert references_fingerprint("ann") != before
