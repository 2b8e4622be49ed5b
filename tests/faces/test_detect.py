"""Where faces are found: heads, tiles, the last resort, and what is said where there is nothing."""

import importlib.util
import logging
import sys
from dataclasses import replace

import pytest
import scenes
import tiny
import torch
from ensemble_portraits.ensemble.faces import detectors
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.choices import Source
from ensemble_portraits.ensemble.faces.detect import Sources, find_faces
from ensemble_portraits.ensemble.faces.match import face_of_head
from ensemble_portraits.ensemble.regions.rect import Rect


@pytest.fixture(scope="module")
def patcher():
    return tiny.model()


def hits(found: list[Face], truth: list[Face]) -> int:
    def good(a: Rect, b: Rect) -> bool:
        shared = a.shared_area(b)
        return shared > 0.3 * (a.area + b.area - shared)

    return sum(any(good(f.box, t.box) for f in found) for t in truth)


SIZES = [180.0, 60.0, 30.0]


@pytest.fixture(scope="module")
def crowd():
    return scenes.group(SIZES, cell=512)


def test_heads_of_a_pose_are_the_faces(crowd):
    image, truth, pose = crowd
    found = find_faces(image, Sources(pose=pose), Source.POSE)[0]
    assert len(found) == 3 and hits(found, truth) == 3
    assert find_faces(image, Sources(pose=pose), Source.AUTO)[0] == found


def test_heads_of_people_are_the_faces(crowd, patcher):
    from ensemble_portraits.ensemble.regional.placement import PlacementRequest, place

    image, truth, pose = crowd
    people = tiny.people(patcher, [{}] * 3, tiny.columns(3))
    heads = place(PlacementRequest(people=3, pose=pose)).heads
    members = tuple(replace(p, head=h) for p, h in zip(people.people, heads, strict=True))
    people = replace(people, people=members)
    found = find_faces(image, Sources(people=people), Source.PEOPLE)[0]
    assert len(found) == 3 and hits(found, truth) == 3
    assert found[0] == face_of_head(heads[0], *reversed(image.shape[1:3]))


def test_tiles_find_what_the_whole_picture_hides():
    pytest.importorskip("skimage")
    image, truth, _ = scenes.group([30.0] * 3, cell=256)
    cascade = detectors.Cascade.load()
    whole = detectors.on_tiles(image, cascade, smallest=max(image.shape))[0]
    tiled = detectors.on_tiles(image, cascade)[0]
    assert hits(whole, truth) == 0 and hits(tiled, truth) == 3


def test_without_a_detector_it_guesses_and_says_so(caplog, monkeypatch):
    pytest.importorskip("skimage")
    monkeypatch.setattr(detectors, "mediapipe", lambda linked: None)
    monkeypatch.setattr(detectors, "yunet_file", lambda name: None)
    image, truth, _ = scenes.group([60.0], cell=256)
    with caplog.at_level(logging.WARNING):
        found = find_faces(image, Sources(), Source.AUTO)[0]
    assert "no face detector" in caplog.text
    assert hits(found, truth) == 1


def test_without_any_way_to_find_faces_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(detectors, "mediapipe", lambda linked: None)
    monkeypatch.setattr(detectors, "yunet_file", lambda name: None)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ValueError, match=r"Link face_detection, pose or mask.*scikit-image"):
        find_faces(torch.zeros(1, 64, 64, 3), Sources(), Source.AUTO)


class Wired:
    """A detector that sees bright blocks: the tiles' arithmetic without a model."""

    def __call__(self, views: torch.Tensor) -> list[list[Face]]:
        from scipy import ndimage

        found = []
        for view in views:
            labels, _ = ndimage.label((view.mean(-1) > 0.5).numpy())
            found.append([
                Face.at(x.start, y.start, x.stop, y.stop, 0.9) for y, x in ndimage.find_objects(labels)
            ])  # fmt: skip
        return found


@pytest.mark.parametrize("side", [15, 60, 400, 700])
def test_a_face_is_found_once_and_in_its_place(side):
    image = torch.zeros(2, 800, 1300, 3)
    truth = Rect.pixels(410, 70, 410 + side, 70 + side)
    image[0, 70 : 70 + side, 410 : 410 + side] = 1
    found, none = detectors.on_tiles(image, Wired())
    assert none == [] and len(found) == 1
    box = found[0].box
    off = [getattr(box, edge) - getattr(truth, edge) for edge in ("left", "top", "right", "bottom")]
    assert max(map(abs, off)) <= max(1.5, 0.02 * side)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Source.MASK, "link input mask"),
        (Source.POSE, "link input pose"),
        (Source.PEOPLE, "link people that know their heads"),
        (Source.YUNET, r"put an \.onnx file"),
        (Source.MEDIAPIPE, "link face_detection"),
    ],
)
def test_a_detector_that_is_not_there_is_named(source, said, monkeypatch):
    monkeypatch.setattr(detectors, "mediapipe", lambda linked: None)
    monkeypatch.setattr(detectors, "yunet_files", lambda: [])
    with pytest.raises(ValueError, match=said):
        find_faces(torch.zeros(1, 160, 240, 3), Sources(), source)


def test_a_missing_file_is_named(monkeypatch):
    monkeypatch.setattr(detectors, "yunet_files", lambda: ["a.onnx"])
    with pytest.raises(
        ValueError, match=r"there is no 'b\.onnx' in models/face_detection.*a\.onnx"
    ):
        detectors.yunet_file("b.onnx")


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="needs OpenCV")
def test_a_corrupt_yunet_file_is_named(tmp_path):
    broken = tmp_path / "yunet.onnx"
    broken.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match=r"cannot read yunet\.onnx .* Git LFS pointer"):
        detectors.YuNet.load(broken)


def test_yunet_without_opencv_names_the_package(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="opencv-python"):
        detectors.YuNet.load(tmp_path / "yunet.onnx")


def test_poses_and_masks_of_another_count_are_named():
    pose = scenes.group([100.0])[2]
    with pytest.raises(ValueError, match="pose holds 2 poses for 3 pictures"):
        find_faces(torch.zeros(3, 160, 240, 3), Sources(pose=pose * 2), Source.POSE)
    with pytest.raises(ValueError, match="2 masks for 3 pictures"):
        find_faces(torch.zeros(3, 160, 240, 3), Sources(mask=torch.zeros(2, 160, 240)), Source.MASK)
