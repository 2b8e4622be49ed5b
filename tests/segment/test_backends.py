"""Each transformers backend against the library's own way, on real classes from real folders."""

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.models import loading as models
from ensemble_portraits.ensemble.segment import clipseg, grounded, parsing
from ensemble_portraits.ensemble.segment.backend import Job, Sockets
from ensemble_portraits.ensemble.segment.words import CLOTHES_PARTS, FACE_PARTS

from . import library


def job(image: torch.Tensor, *words: str, threshold: float = 0.5, **sockets) -> Job:
    return Job(image=image, words=words, threshold=threshold, sockets=Sockets(**sockets))


def test_clipseg_is_the_librarys_map_for_every_picture_and_phrase(small_models, picture, image):
    found = clipseg.find(Sockets())
    assert found == small_models / "small_clipseg"
    maps = clipseg.segment(found, job(image, "hat", "red scarf")).numpy()
    assert maps.shape == (2, 2, 256, 320)
    for index, phrase in enumerate(("hat", "red scarf")):
        for place, one in enumerate((picture, picture.transpose(0))):
            # float32 sums in another order: batched here, one by one there.
            expected = library.clipseg(found, one, phrase)
            np.testing.assert_allclose(maps[index, place], expected, atol=2e-5)
    assert np.abs(maps[0] - maps[1]).max() > 1e-3
    assert np.abs(maps[:, 0] - maps[:, 1]).max() > 1e-3


@pytest.mark.parametrize(
    ("backend", "folder", "word", "wanted"),
    [
        (parsing.CLOTHES, "small_clothes", "outfit", CLOTHES_PARTS["clothes"]),
        (parsing.CLOTHES, "small_clothes", "head", CLOTHES_PARTS["head"]),
        (parsing.FACE, "small_face_parsing", "skin", FACE_PARTS["skin"]),
        (parsing.FACE, "small_face_parsing", "face", FACE_PARTS["face"]),
    ],
)
def test_parsing_is_the_pipelines_choice_of_labels(
    small_models, picture, image, backend, folder, word, wanted
):
    found = backend.find(Sockets())
    assert found == small_models / folder
    masks = backend.segment(found, job(image, word))[0].numpy()
    for place, one in enumerate((picture, picture.transpose(0))):
        expected = library.labels(found, one, set(wanted))
        assert 0 < expected.mean() < 1
        np.testing.assert_array_equal(masks[place] > 0.5, expected)


def test_person_and_foreground_are_all_labels_but_the_background(small_models, picture, image):
    masks = parsing.segment_clothes(small_models / "small_clothes", job(image, "man", "subject"))
    expected = ~library.labels(small_models / "small_clothes", picture, {"Background"})
    for mask in masks[:, 0].numpy():
        np.testing.assert_array_equal(mask > 0.5, expected)


THRESHOLD = 0.86


@pytest.mark.parametrize(("word", "threshold"), [("hat", THRESHOLD), ("red scarf", 0.93)])
def test_grounding_dino_and_sam2_are_the_librarys(small_models, picture, image, word, threshold):
    found = grounded.find(Sockets())
    assert found is not None
    dino, _, sam = found
    masks = grounded.segment(found, job(image, word, threshold=threshold))[0].numpy()
    for place, one in enumerate((picture, picture.transpose(0))):
        boxes = library.detect(dino, one, word, threshold)
        assert 0 < len(boxes) < grounded.MAX_BOXES
        np.testing.assert_array_equal(masks[place] > 0.5, library.cut(sam, one, boxes))


def test_grounding_dinos_boxes_are_the_zero_shot_pipelines(small_models, picture, image):
    from transformers import pipeline

    folder = small_models / "small_grounding_dino"
    loaded = models.load_folder("segmentation", folder, "GroundingDinoForObjectDetection")
    (boxes,) = grounded.detect(loaded, job(image[:1]).pictures(), "hat", THRESHOLD)
    detector = pipeline("zero-shot-object-detection", model=str(folder), device="cpu")
    expected = detector(picture, candidate_labels=["hat."], threshold=THRESHOLD)
    found = [list(one["box"].values()) for one in expected]
    # The pipeline cuts coordinates down to whole pixels.
    np.testing.assert_allclose(sorted(boxes.tolist()), sorted(found), atol=1)


def test_no_box_is_no_mask(image):
    masks = grounded.segment(grounded.find(Sockets()), job(image, "hat", threshold=0.9999))
    assert not masks.any()


def test_faces_are_parsed_on_their_own_squares(small_models, image, fake_faces):
    masks = parsing.segment_face(
        small_models / "small_face_parsing", job(image, "skin", face_detection=fake_faces)
    )[0]
    (left, top, width, height) = fake_faces.box
    half = max(width, height) * parsing.FACE_MARGIN / 2
    x0, y0 = round(left + width / 2 - half), round(top + height / 2 - half)
    x1, y1 = round(left + width / 2 + half), round(top + height / 2 + half)
    crop = image[:, y0:y1, x0:x1]
    alone = parsing.segment_face(small_models / "small_face_parsing", job(crop, "skin"))[0]
    torch.testing.assert_close(masks[:, y0:y1, x0:x1], alone, atol=1e-3, rtol=0)
    masks[:, y0:y1, x0:x1] = 0
    assert not masks.any()


def test_faces_whose_squares_overlap_are_joined(small_models, image, fake_faces):
    left, top, width, height = fake_faces.box
    folder = small_models / "small_face_parsing"
    alone = []
    for shift in (0, width // 2):
        fake_faces.box = (left + shift, top, width, height)
        alone.append(parsing.segment_face(folder, job(image, "skin", face_detection=fake_faces))[0])
    one = fake_faces.detect_batch
    boxes = [(left, top, width, height), (left + width // 2, top, width, height)]

    def both(images, **options):
        found = []
        for fake_faces.box in boxes:
            found += one(images[:1], **options)[0]
        return [found for _ in images]

    fake_faces.detect_batch = both
    joined = parsing.segment_face(folder, job(image, "skin", face_detection=fake_faces))[0]
    assert (alone[0] * alone[1]).any()
    torch.testing.assert_close(joined, torch.maximum(*alone), atol=1e-3, rtol=0)


def test_models_are_loaded_once_and_again_when_a_file_changes(small_models, tmp_path):
    import os
    import shutil

    folder = tmp_path / "clothes"
    shutil.copytree(small_models / "small_clothes", folder)
    name = "SegformerForSemanticSegmentation"
    first = models.load_folder("segmentation", folder, name)
    assert models.load_folder("segmentation", folder, name) is first
    os.utime(folder / "model.safetensors", ns=(1, 1))
    assert models.load_folder("segmentation", folder, name) is not first


def test_at_most_a_few_models_are_kept(tmp_path):
    files = []
    for number in range(models.KEPT + 2):
        files.append(tmp_path / f"{number}.json")
        files[-1].write_text("{}")
    loaded = [models.load_once("test", file, lambda path: object()) for file in files]
    assert models.load_once("test", files[-1], lambda path: object()) is loaded[-1]
    assert models.load_once("test", files[0], lambda path: object()) is not loaded[0]
    assert len(models._loaded) <= models.KEPT


def test_the_model_is_under_comfyuis_memory_management(small_models):
    from comfy import model_management

    loaded = models.load_folder(
        "segmentation", small_models / "small_clipseg", "CLIPSegForImageSegmentation"
    )
    loaded.on_device()
    assert any(entry.model is loaded.patcher for entry in model_management.current_loaded_models)
    assert loaded.patcher.model_size() > 1e6


@pytest.mark.parametrize("damage", ["truncate", "config", "missing", "pickle"])
def test_a_broken_folder_is_named(small_models, tmp_path, damage):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = tmp_path / "my clothes"
    shutil.copytree(small_models / "small_clothes", folder)
    weights = folder / "model.safetensors"
    if damage == "truncate":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "config":
        (folder / "config.json").write_text('{"model_type": "segformer", "depths": "two"}')
    elif damage == "missing":
        tensors = load_file(weights)
        tensors.popitem()
        save_file(tensors, weights, metadata={"format": "pt"})
    else:
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    with pytest.raises(ValueError, match="models/segmentation/my clothes"):
        models.load_folder("segmentation", folder, "SegformerForSemanticSegmentation")


@pytest.mark.parametrize("text", ["{", "[]", '"clipseg"', ""])
def test_a_config_that_is_none_is_left_out(model_folders, small_models, text, caplog):
    import shutil

    broken = model_folders / "segmentation" / "a_broken"
    broken.mkdir()
    (broken / "config.json").write_text(text)
    assert clipseg.find(Sockets()) is None
    shutil.copytree(small_models / "small_clipseg", model_folders / "segmentation" / "b_good")
    assert clipseg.find(Sockets()).name == "b_good"
    if text in ("{", ""):
        assert "a_broken" in caplog.text
