"""Embedders: what they find, what they see, and what is said where none is there."""

import shutil
from dataclasses import replace
from pathlib import Path

import astronaut
import folder_paths
import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.faces.align import TEMPLATE, crop_matrix, inverse, moved
from ensemble_portraits.ensemble.faces.boxes import Landmarks
from ensemble_portraits.ensemble.leak import dinov2, sface
from ensemble_portraits.ensemble.leak.embedder import FOLDER, View, similarities
from ensemble_portraits.ensemble.leak.registry import CHOICES, EMBEDDERS, choose

cv2 = pytest.importorskip("cv2")
SMALL = Path(folder_paths.get_folder_paths(FOLDER)[0])


def views() -> list[View]:
    """The astronaut, the same turned and smaller, and her mirror image."""
    turned = astronaut.turned(25, 0.8, 10, -15)
    picture, face = astronaut.picture()[0], astronaut.face()
    mirrored = View(1 - picture.flip(1), face)
    return [
        View(picture, face),
        View(astronaut.seen_through(turned)[0], astronaut.face_through(turned)),
        mirrored,
    ]


@pytest.mark.parametrize("embedder", EMBEDDERS, ids=[each.id for each in EMBEDDERS])
def test_the_same_face_is_more_alike_than_another_picture(embedder):
    found = embedder.find()
    assert found is not None and found.name.startswith("small_")
    embedded = embedder.embed(found, views())
    assert torch.equal(embedder.embed(found, views()[:1])[0], embedded[0])
    alike = similarities(embedded, embedded)
    assert np.allclose(np.diag(alike), 1)
    assert alike[0, 1] > 0.8 and alike[0, 1] > alike[0, 2] + 0.1


def test_sface_is_opencvs_own_on_the_same_landmarks():
    """alignCrop and feature of OpenCV, called as its documentation does."""
    view = views()[0]
    found = sface.EMBEDDER.find()
    ours = sface.EMBEDDER.embed(found, [view])
    net = cv2.FaceRecognizerSF.create(str(found), "")
    row = np.zeros((1, 15), np.float32)
    row[0, 4:14] = astronaut.ANCHORS.ravel()
    picture = (view.picture.numpy() * 255).round().astype(np.uint8)[..., ::-1]
    theirs = net.feature(net.alignCrop(np.ascontiguousarray(picture), row))
    assert similarities(ours, torch.from_numpy(theirs))[0, 0] > 0.9999


class TwoFaces:
    """YuNet that sees a neighbour first, and the face itself."""

    def rows(self, crop):
        rows = np.zeros((2, 15))
        rows[0, :4], rows[1, :4] = (0, 0, 90, 90), (200, 210, 110, 110)
        rows[1, 4:14] = np.arange(10)
        return rows


class NoFace:
    def rows(self, crop):
        return np.zeros((0, 15))


def test_landmarks_are_yunets_then_the_faces_own_then_the_boxes():
    view = views()[0]
    back = inverse(crop_matrix(replace(view.face, landmarks=None)))
    seen = moved(np.arange(10).reshape(5, 2), back)
    assert np.allclose(sface.anchors(view, TwoFaces()), seen)
    for yunet in (NoFace(), None):
        assert np.allclose(sface.anchors(view, yunet), astronaut.ANCHORS)
    three = replace(view, face=view.face.with_landmarks(Landmarks(astronaut.ANCHORS[:3])))
    assert np.allclose(sface.anchors(three, None), moved(TEMPLATE, back))


def test_dinov2_is_transformers_own(tmp_path):
    import transformers

    view = views()[0]
    found = dinov2.EMBEDDER.find()
    ours = dinov2.EMBEDDER.embed(found, [view])
    processor = transformers.AutoImageProcessor.from_pretrained(found)
    model = transformers.AutoModel.from_pretrained(found).eval()
    with torch.no_grad():
        theirs = model(**processor(view.crop().numpy(), return_tensors="pt")).last_hidden_state
    assert torch.allclose(ours, theirs[:, 0], atol=1e-4)


@pytest.fixture
def only(monkeypatch, tmp_path):
    """The model folder with these of the small models alone."""

    def with_(*names: str) -> None:
        folder = tmp_path / FOLDER
        folder.mkdir()
        for name in names:
            place = SMALL / name
            (shutil.copytree if place.is_dir() else shutil.copy)(place, folder / name)
        entry = ([str(folder)], folder_paths.folder_names_and_paths[FOLDER][1])
        monkeypatch.setitem(folder_paths.folder_names_and_paths, FOLDER, entry)
        folder_paths.filename_list_cache.pop(FOLDER, None)

    yield with_
    folder_paths.filename_list_cache.pop(FOLDER, None)


def test_auto_takes_what_is_there(only):
    only("small_dinov2")
    assert choose("auto").embedder.id == choose("dinov2").embedder.id == "dinov2"
    with pytest.raises(ValueError, match=r"(?s)embedder is sface.*face_recognition_sface"):
        choose("sface")


def test_without_any_the_error_says_which_files_go_where(only):
    only()
    with pytest.raises(ValueError) as said:
        choose("auto")
    for part in ("sface_2021dec.onnx in models/face_recognition", "dinov2-base", "opencv-python"):
        assert part in str(said.value)


def test_no_opencv_no_sface(monkeypatch):
    assert choose("auto").embedder.id == "sface"
    monkeypatch.setattr(sface.importlib.util, "find_spec", lambda name: None)
    assert choose("auto").embedder.id == "dinov2"


def test_an_unknown_embedder_is_named():
    with pytest.raises(ValueError, match="'arcface' and must be one of auto, sface, dinov2"):
        choose("arcface")
    assert ("auto", *(each.id for each in EMBEDDERS)) == CHOICES


def test_a_broken_file_is_named(only, tmp_path):
    only()
    (tmp_path / FOLDER / "sface.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    folder_paths.filename_list_cache.pop(FOLDER, None)
    embedder, found = choose("sface")
    with pytest.raises(ValueError, match=r"cannot read sface\.onnx in models/face_recognition"):
        embedder.embed(found, views()[:1])
