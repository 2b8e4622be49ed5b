"""Estimators from folders against the libraries' own pipelines, on the same random weights."""

import os
import sys
import types
from pathlib import Path

import folder_paths
import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.models.loading import load_folder
from ensemble_portraits.ensemble.pose.estimators import available, choices, estimate
from ensemble_portraits.ensemble.pose.estimators.base import Sockets, read_boxes
from ensemble_portraits.ensemble.pose.estimators.vitpose import to_body_18
from ensemble_portraits.ensemble.regions.rect import Rect, Unit
from skimage import data

from . import small_models

PHOTO = data.astronaut()[:384, :320].copy()


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty models/pose_estimation of this test's own."""
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "pose_estimation", ([str(tmp_path)], set())
    )
    folder_paths.filename_list_cache.pop("pose_estimation", None)
    return tmp_path


def library_vitpose(folder, detector) -> tuple[list, list]:
    """Boxes and joints by the model cards of RT-DETR and ViTPose."""
    from transformers import (
        AutoImageProcessor,
        RTDetrForObjectDetection,
        VitPoseForPoseEstimation,
    )

    processor = AutoImageProcessor.from_pretrained(detector)
    model = RTDetrForObjectDetection.from_pretrained(detector)
    with torch.inference_mode():
        outputs = model(**processor(images=PHOTO, return_tensors="pt"))
    found = processor.post_process_object_detection(
        outputs, target_sizes=torch.tensor([PHOTO.shape[:2]]), threshold=0.3
    )[0]
    boxes = found["boxes"][found["labels"] == 1].numpy()
    boxes[:, 2:] -= boxes[:, :2]
    processor = AutoImageProcessor.from_pretrained(folder)
    model = VitPoseForPoseEstimation.from_pretrained(folder)
    inputs = processor(PHOTO, boxes=[boxes], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs)
    return boxes, processor.post_process_pose_estimation(outputs, boxes=[boxes])[0]


def test_vitpose_with_rtdetr_equals_the_library(models):
    small_models.vitpose(models / "small_vitpose")
    small_models.rtdetr(models / "small_rtdetr")
    boxes, expected = library_vitpose(models / "small_vitpose", models / "small_rtdetr")
    assert len(boxes) > 1
    for choice in ("auto", "vitpose", "vitpose/small_vitpose"):
        pose = estimate(PHOTO, choice, Sockets())
        assert (pose.width, pose.height) == (320, 384) and len(pose.people) == len(boxes)
        for person, wanted in zip(pose.people, expected, strict=True):
            coco, scores = wanted["keypoints"].numpy(), wanted["scores"].numpy()
            for joint, source in {0: 0, 2: 6, 4: 10, 7: 9, 10: 16, 14: 2, 17: 3}.items():
                assert np.allclose(person.body[joint, :2], coco[source], atol=1e-4)
                assert person.body[joint, 2] == pytest.approx(scores[source], abs=1e-4)
            assert np.allclose(person.body[1, :2], (coco[5] + coco[6]) / 2, atol=1e-4)


def test_the_small_models_of_the_demo_see_upright_people(monkeypatch):
    """What `python dev` makes, so that a photo of the bundled workflows goes all the way."""
    root = Path(os.environ["ENSEMBLE_BASE"]) / "models" / "pose_estimation"
    monkeypatch.setitem(
        folder_paths.folder_names_and_paths, "pose_estimation", ([str(root)], set())
    )
    box = Rect.sized(64, 0, 192, 384, Unit.PIXELS)
    person = estimate(PHOTO, "vitpose/small_vitpose", Sockets(boxes=(box,))).people[0]
    assert person.seen.all() and person.body[:, 2].min() > 0.3
    assert abs(person.body[0, 0] - 160) < 20 and person.body[0, 1] < 80
    assert person.body[[10, 13], 1].min() > 290
    assert estimate(PHOTO, "vitpose/small_vitpose", Sockets()).people


def test_boxes_on_the_socket_take_the_detectors_place(models):
    small_models.vitpose(models / "small_vitpose")
    box = Rect.sized(40, 30, 200, 300, Unit.PIXELS)
    one = estimate(PHOTO, "vitpose", Sockets(boxes=(box,)))
    two = estimate(PHOTO, "vitpose", Sockets(boxes=(box, Rect.sized(0, 0, 100, 100, Unit.PIXELS))))
    assert len(one.people) == 1 and len(two.people) == 2
    # Batches of one and two differ in the last digit, which the refinement of joints magnifies.
    assert np.allclose(one.people[0].body, two.people[0].body, atol=0.1)
    assert estimate(PHOTO, "vitpose", Sockets(boxes=())).people == ()
    # No detector either: the whole picture is one person.
    assert len(estimate(PHOTO, "vitpose", Sockets()).people) == 1


def test_a_model_is_loaded_once_and_again_when_it_changes(models):
    folder = models / "small_vitpose"
    small_models.vitpose(folder)
    first = load_folder("pose_estimation", folder, "VitPoseForPoseEstimation", "AutoImageProcessor")
    assert (
        load_folder("pose_estimation", folder, "VitPoseForPoseEstimation", "AutoImageProcessor")
        is first
    )
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert (
        load_folder("pose_estimation", folder, "VitPoseForPoseEstimation", "AutoImageProcessor")
        is not first
    )


def test_models_run_through_comfyuis_memory_management(models):
    from comfy import model_management

    small_models.vitpose(models / "small_vitpose")
    estimate(PHOTO, "vitpose", Sockets(boxes=(Rect.sized(0, 0, 90, 90, Unit.PIXELS),)))
    patcher = load_folder(
        "pose_estimation",
        models / "small_vitpose",
        "VitPoseForPoseEstimation",
        "AutoImageProcessor",
    ).patcher
    assert any(loaded.model is patcher for loaded in model_management.current_loaded_models)


def test_what_is_missing_is_listed_with_its_place(models):
    with pytest.raises(ValueError) as error:
        estimate(PHOTO, "auto", Sockets())
    said = str(error.value)
    for words in (
        "sdpose_model",
        "models/pose_estimation/<name>/",
        "body_pose_model.pth",
        "RT-DETR",
    ):
        assert words in said
    with pytest.raises(ValueError, match="ViTPose") as error:
        estimate(PHOTO, "vitpose", Sockets())
    assert "body_pose_model" not in str(error.value)


def test_a_broken_folder_is_named(models):
    small_models.vitpose(models / "small_vitpose")
    (models / "small_vitpose" / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="models/pose_estimation/small_vitpose"):
        estimate(PHOTO, "vitpose", Sockets(boxes=(Rect.sized(0, 0, 9, 9, Unit.PIXELS),)))


def test_choices_and_fingerprint_follow_the_folder(models):
    before = available()
    assert choices() == ["auto", "sdpose", "vitpose", "openpose"]
    small_models.vitpose(models / "mine")
    assert "vitpose/mine" in choices() and available() != before


def test_boxes_of_every_core_form():
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    want = (Rect.sized(1, 2, 3, 4, Unit.PIXELS),)
    assert read_boxes(box) == read_boxes([box]) == read_boxes([[box], []]) == want
    assert read_boxes([[{**box, "label": "dog"}, {**box, "label": "person"}]]) == want
    assert read_boxes([]) == read_boxes([[]]) == ()


def test_coco_becomes_body_18():
    coco = np.c_[np.arange(17), np.arange(17) * 10, np.linspace(0.1, 0.9, 17)]
    body = to_body_18(coco)
    # nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles: COCO has left first.
    assert [int(v) for v in body[:, 0]] == [
        0,
        5,
        6,
        8,
        10,
        5,
        7,
        9,
        12,
        14,
        16,
        11,
        13,
        15,
        2,
        1,
        4,
        3,
    ]
    assert body[1, 0] == 5.5 and body[1, 2] == coco[5, 2]


@pytest.mark.slow
def test_openpose_equals_controlnet_aux(models, openpose, monkeypatch):
    file = models / "openpose" / "body_pose_model.pth"
    small_models.openpose(openpose, file)
    picture = PHOTO[:160, 100:260].copy()
    expected = openpose.OpenposeDetector(openpose.body.Body(str(file))).detect_poses(picture)
    # A mediapipe without `solutions`, as every one from 0.10.30 on, must not stop it.
    monkeypatch.setitem(sys.modules, "mediapipe", types.ModuleType("mediapipe"))
    pose = estimate(picture, "openpose", Sockets())
    assert len(pose.people) == len(expected) > 0
    for person, wanted in zip(pose.people, expected, strict=True):
        for joint, point in enumerate(wanted.body.keypoints):
            assert person.seen[joint] == (point is not None)
            if point is not None:
                assert np.allclose(person.body[joint, :2], (point.x * 160, point.y * 160))
    assert "controlnet_aux" not in sys.modules


@pytest.mark.slow
@torch.inference_mode()
def test_sdpose_equals_cores_node(models):
    import comfy.sample  # noqa: F401  core's node uses it without importing it
    from comfy_extras.nodes_sdpose import SDPoseKeypointExtractor

    model, vae = small_models.sdpose()
    pixels = torch.from_numpy(PHOTO.astype(np.float32) / 255)[None]
    box = {"x": 30, "y": 20, "width": 200, "height": 300}
    core = SDPoseKeypointExtractor.execute(model, vae, pixels, 1, [[box]]).result[0]
    pose = estimate(
        PHOTO,
        "auto",
        Sockets(
            sdpose_model=model, sdpose_vae=vae, boxes=(Rect.sized(30, 20, 200, 300, Unit.PIXELS),)
        ),
    )

    flat = np.array(core[0]["people"][0]["pose_keypoints_2d"]).reshape(-1, 3)
    seen = pose.people[0].seen
    assert seen.any() and np.allclose(pose.people[0].body[seen], flat[seen])
    assert (
        estimate(PHOTO, "sdpose", Sockets(sdpose_model=model, sdpose_vae=vae, boxes=())).people
        == ()
    )
