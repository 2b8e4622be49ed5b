"""The meter on whole pictures of drawn people, whose colours stand in for an embedder."""

import json
import random
from dataclasses import dataclass, replace

import composed
import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.faces.choices import Source
from ensemble_portraits.ensemble.faces.detect import Sources
from ensemble_portraits.ensemble.leak import meter, registry
from ensemble_portraits.ensemble.leak.meter import MeterSettings, Place, Reference, read_leak
from ensemble_portraits.ensemble.leak.report import as_json, as_lines
from ensemble_portraits.ensemble.pose.skeleton import Pose, Skeleton, write_pose_keypoint

from dolls.world import bodies, draw, identity_scores, make_scene

PAIR = (0, 1)


@dataclass(frozen=True)
class Colours:
    """An Embedder: how much of each drawn identity shows in a face."""

    id: str = "colours"
    title: str = "Colours"
    files: tuple = ()
    licence: str = "MIT"
    threshold: float = 0.5

    def find(self):
        return True

    def embed(self, found, views):
        return torch.tensor([identity_scores(view.crop().numpy()) for view in views])


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    monkeypatch.setattr(registry, "EMBEDDERS", (Colours(),))


def image(scene) -> torch.Tensor:
    return torch.from_numpy(np.asarray(draw(scene)).astype(np.float32) / 255)[None]


def pose(*scenes) -> list:
    poses = [Pose(*s.size, tuple(Skeleton.of(body) for body in bodies(s))) for s in scenes]
    return write_pose_keypoint(poses)


@pytest.fixture(scope="module")
def references() -> list[Reference]:
    return [
        Reference(f"person {number}", [image(make_scene(random.Random(2), shape="portrait", identities=(who,)))])
        for number, who in enumerate(PAIR, 1)
    ]  # fmt: skip


def read(scene, references, **sources):
    """By the scene's own skeletons, in columns of equal width."""
    by = Sources(**{"pose": pose(scene), **sources})
    return read_leak(image(scene), references, None, by, MeterSettings(source=Source.POSE))


def test_everybody_is_themselves_or_swapped(references):
    right = read(composed.scene(4, PAIR), references)
    assert np.abs(right.pictures[0].similarity - np.eye(2)).max() < 0.1
    assert (right.mean("right_share"), right.count) == (1.0, 2)
    assert right.mean("id_conf") > 0.9 and right.mean("scr") == 0.0
    swapped = read(composed.scene(4, PAIR[::-1]), references)
    assert swapped.pictures[0].measures.swapped == ((0, 1),)
    assert (swapped.mean("right_share"), swapped.mean("scr"), swapped.count) == (0.0, 1.0, 2)
    report = json.loads(as_json(swapped))
    assert report["pictures"][0]["swapped"] == [["person 1", "person 2"]]
    assert report["pictures"][0]["people"][0]["looks_like"] == "person 2"
    assert (
        "person 1: face 1" in as_lines(swapped)[1] and "looks like person 2" in as_lines(swapped)[1]
    )


def test_a_missing_person_lowers_the_count_alone(references):
    whole = composed.scene(4, PAIR)
    alone = replace(whole, people=whole.people[1:])
    found = read(alone, references)
    assert found.count == 1 and found.pictures[0].places == (1,)
    assert found.mean("right_share") == 1.0 and found.mean("scr") == 0.0
    report = json.loads(as_json(found))["pictures"][0]
    assert report["missing"] == ["person 1"] and not report["count_right"]
    assert report["id_conf"] is None and report["people"][0]["own"] is None


def test_no_face_is_a_result(references):
    scene = composed.scene(4, PAIR)
    found = read_leak(
        image(scene), references, None, Sources(mask=torch.zeros(1, 8, 8)),
        MeterSettings(source=Source.MASK),
    )  # fmt: skip
    assert found.count == 0 and found.mean("right_share") is None
    assert json.loads(as_json(found))["whole"]["right_share"] is None
    assert meter.numbered_people(image(scene), found).shape == image(scene).shape
    assert as_lines(found)[0] == "picture 1: 0 faces for 2 people"


def test_where_people_should_be_comes_from_them(references):
    """Regions the other way round: the same picture is a swap then."""
    scene = composed.scene(4, PAIR)
    left = torch.zeros(32, 32)
    left[:, :16] = 1
    by, settings = Sources(pose=pose(scene)), MeterSettings(source=Source.POSE)
    found = read_leak(image(scene), references, [Place(1 - left), Place(left)], by, settings)
    assert found.pictures[0].places == (1, 0) and found.mean("right_share") == 0.0


def test_several_pictures_are_read_each(references):
    both = [composed.scene(4, PAIR), composed.scene(4, PAIR[::-1])]
    found = read_leak(
        torch.cat([image(s) for s in both]), references, None, Sources(pose=pose(*both)),
        MeterSettings(source=Source.POSE),
    )  # fmt: skip
    assert [p.measures.right_share for p in found.pictures] == [1.0, 0.0]
    assert found.mean("right_share") == 0.5 and found.count == 4


def test_right_faces_are_green_and_wrong_ones_are_not(references):
    for people, green in ((PAIR, True), (PAIR[::-1], False)):
        scene = composed.scene(4, people)
        drawn = meter.numbered_people(image(scene), read(scene, references))
        ink = (drawn[0] * 255 - torch.tensor([64.0, 220.0, 96.0])).abs().amax(-1) < 2
        assert bool(ink.any()) == green


def test_a_reference_without_a_face_is_taken_whole_and_said(references):
    assert any(
        "no face was found" in note for note in read(composed.scene(4, PAIR), references).notes
    )


def test_another_number_of_references_is_refused_before_anything_is_loaded(references, monkeypatch):
    monkeypatch.setattr(meter, "choose", None)
    place = Place(torch.ones(8, 8))
    with pytest.raises(ValueError, match="references: 2 for 3 people"):
        read_leak(torch.zeros(1, 64, 64, 3), references, [place] * 3, Sources(), MeterSettings())


def test_no_references_are_refused():
    with pytest.raises(ValueError, match="references: link a picture of each person"):
        meter.references_of(None, " , ")
