"""The demo's drawn photo: cut out by its alpha, its skeleton readable, its graph without a text mask."""

import io
import json

import numpy as np
from ensemble_portraits.ensemble.pose.read import read
from PIL import Image

from dev import drawn_photo
from dev.client import read_graph
from dev.demo import WORKFLOWS
from dolls.world import bodies, draw, person_masks


def graph(name: str) -> dict:
    return read_graph(WORKFLOWS / f"{name}.json")


def test_only_a_workflow_that_finds_words_in_one_picture_wants_it():
    assert drawn_photo.wanted_by(graph("masked_portrait"))
    for name in ("multi_person", "lora_multi"):
        assert not drawn_photo.wanted_by(graph(name))


def test_the_alpha_is_the_person_and_the_colours_stay():
    files, scene = drawn_photo.files(), drawn_photo.scene()
    photo = Image.open(io.BytesIO(files[drawn_photo.PHOTO]))
    assert photo.mode == "RGBA" and photo.size == scene.size
    pixels = np.asarray(photo)
    assert np.array_equal(pixels[..., 3] > 127, person_masks(scene)[0])
    assert np.array_equal(pixels[..., :3], np.asarray(draw(scene)))


def test_the_skeleton_is_the_drawn_persons():
    skeleton = np.asarray(Image.open(io.BytesIO(drawn_photo.files()[drawn_photo.POSE])))
    (person,) = read(skeleton).people
    (truth,) = bodies(drawn_photo.scene())
    both = (person.body[:, 2] > 0) & (truth[:, 2] > 0)
    away = np.hypot(*(person.body[both, :2] - truth[both, :2]).T)
    assert both.sum() >= 12 and away.max() < 2


def test_the_graph_takes_its_mask_and_pose():
    made = graph("masked_portrait")
    notes = drawn_photo.put_in(made)
    kinds = [node["class_type"] for node in made.values()]
    assert "MaskFromPrompt" not in kinds and kinds.count("LoadImage") == 2
    text = json.dumps(made)
    assert '["mask", 0]' not in text and text.count('["photo", 1]') == 2
    assert made["pose"]["inputs"]["image"] == ["drawn_pose", 0]
    assert drawn_photo.PLACE in made["style"]["inputs"]["prompt"]
    assert drawn_photo.scene().place != drawn_photo.PLACE
    assert any("MaskFromPrompt" in note for note in notes)
