import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ensemble_portraits.ensemble.pose.read import read
from PIL import Image

from dev import DevError, demo
from dev.cli import size
from dev.demo import TABLE, WORKFLOWS, chosen_workflows, find_picture, picture_size, with_dolls
from dev.graphs import Wishes, absent_files, fit, loaded_images

INFO = {
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["small_sd15.safetensors"]]}}},
    "ControlNetLoader": {
        "input": {"required": {"control_net_name": ["COMBO", {"options": ["other.safetensors"]}]}}
    },
}


@pytest.fixture
def table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))


@pytest.fixture
def graph() -> dict:
    return {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "public.ckpt"}},
        "net": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "p.pth"}},
        "people": {
            "class_type": "BreakRegionalPrompt",
            "inputs": {"text": "a BREAK b BREAK c", "model": ["model", 0]},
        },
        "loras": {
            "class_type": "MultiLoraLoader",
            "inputs": {"loras": "", "strengths": "", "prompt": ["people", 0]},
        },
        "latent": {"class_type": "EmptyLatentImage", "inputs": {"width": 768, "height": 512}},
        "sample": {"class_type": "KSampler", "inputs": {"steps": 30, "seed": 1}},
        "load": {"class_type": "LoadImage", "inputs": {"image": "two.png"}},
    }


def test_missing_files_are_replaced_and_told(graph, table):
    before = json.dumps(graph)
    fitted, notes = fit(graph, INFO, table, Wishes(size=(384, 256), steps=8))
    assert json.dumps(graph) == before
    assert fitted["model"]["inputs"]["ckpt_name"] == "small_sd15.safetensors"
    assert fitted["net"]["inputs"]["control_net_name"] == "small_openpose.safetensors"
    assert [note.split(":")[0] for note in notes] == [
        "CheckpointLoaderSimple.ckpt_name",
        "ControlNetLoader.control_net_name",
    ]
    assert fitted["latent"]["inputs"] == {"width": 384, "height": 256}
    assert fitted["sample"]["inputs"] == {"steps": 8, "seed": 1}
    assert "<lora:849330:1>" in fitted["people"]["inputs"]["text"]
    assert fitted["people"]["inputs"]["model"] == ["model", 0]
    assert fitted["loras"]["inputs"]["loras"] == "ganyu-lora,more_details"


def test_a_file_that_is_there_stays(graph, table):
    graph["net"]["inputs"]["control_net_name"] = "other.safetensors"
    fitted, notes = fit(graph, INFO, table, Wishes())
    assert fitted["net"]["inputs"]["control_net_name"] == "other.safetensors"
    assert len(notes) == 1
    assert fitted["latent"]["inputs"] == {"width": 768, "height": 512}
    assert fitted["sample"]["inputs"]["steps"] == 30


def test_with_random_weights_what_takes_long_is_made_shorter(graph, table):
    graph["faces"] = {"class_type": "FaceInpaint", "inputs": {"size": 0, "sampler": "dpmpp_sde"}}
    fitted, _ = fit(graph, INFO, table, Wishes(quick=True))
    assert fitted["faces"]["inputs"] == {"size": 256, "sampler": "euler"}
    fitted, _ = fit(graph, INFO, table, Wishes())
    assert fitted["faces"] == graph["faces"]


@pytest.mark.parametrize(("offered", "stays"), [(["auto"], False), (["auto", "a/b"], True)])
def test_a_photo_without_an_estimator_is_unlinked(graph, table, offered, stays):
    known = {"PoseControlInput": {"input": {"required": {"estimator": [offered]}}}}
    graph["pose"] = {
        "class_type": "PoseControlInput",
        "inputs": {"image": ["load", 0], "estimator": "auto", "width": 0},
    }
    fitted, notes = fit(graph, {**INFO, **known}, table, Wishes(size=(256, 192)))
    assert ("image" in fitted["pose"]["inputs"]) is stays
    assert any("no estimator is there" in note for note in notes) is not stays
    assert fitted["pose"]["inputs"]["width"] == 256


def test_own_files_take_the_documented_places(graph, table):
    wishes = Wishes(
        checkpoint="mine.safetensors", loras=("anna.safetensors",), image=Path("me.jpg")
    )
    fitted, _ = fit(graph, INFO, table, wishes)
    assert fitted["model"]["inputs"]["ckpt_name"] == "mine.safetensors"
    text = fitted["people"]["inputs"]["text"]
    assert "<lora:anna.safetensors:1>" in text
    assert loaded_images(fitted) == ["me.jpg"]


def test_small_models_stay_out_of_a_picture_of_a_real_checkpoint(graph, table):
    graph["posed"] = {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": {"control_net": ["net", 0], "strength": 1.0},
    }
    fitted, notes = fit(graph, INFO, table, Wishes(checkpoint="mine.safetensors"))
    assert fitted["posed"]["inputs"]["strength"] == 0.0
    assert any("no real ControlNet" in note for note in notes)
    assert "lora" not in fitted["people"]["inputs"]["text"]
    assert fitted["loras"]["inputs"]["loras"] == fitted["loras"]["inputs"]["strengths"] == ""
    one = Wishes(checkpoint="mine.safetensors", loras=("anna.safetensors",))
    fitted, _ = fit(graph, INFO, table, one)
    assert fitted["people"]["inputs"]["text"].count("<lora:") == 1
    assert fitted["loras"]["inputs"]["loras"] == "anna.safetensors"
    assert fitted["loras"]["inputs"]["strengths"] == "1"
    fitted, _ = fit(graph, INFO, table, Wishes())
    assert fitted["posed"]["inputs"]["strength"] == 1.0
    assert fitted["people"]["inputs"]["text"].count("<lora:") == 2


def test_every_stand_in_is_made(table):
    """The table names files that dev/models makes."""
    import folder_paths

    kinds = ("checkpoints", "vae", "controlnet", "upscale_models", "loras")
    made = {name for kind in kinds for name in folder_paths.get_filename_list(kind)}
    assert set(table["files"].values()) <= made
    documented = {name for names in table["loras"] for name in names}
    for name in documented - {"849330", "861629"}:
        assert f"{name}.safetensors" in made


def test_the_drawn_picture_is_two_skeletons():
    image = Image.open(io.BytesIO(find_picture("none.png")))
    assert image.size == (768, 512)
    drawn = np.asarray(image).max(axis=2).max(axis=0) > 0
    # Two runs of lit columns, a gap between them.
    assert np.count_nonzero(np.diff(drawn.astype(int)) == 1) == 2
    assert len(read(np.asarray(image)).people) == 2
    photograph = Image.open(io.BytesIO(find_picture("astronaut.png")))
    assert photograph.size == (512, 512)


@pytest.mark.parametrize(
    ("wish", "expected"), [((256, 192), (288, 192)), (None, (768, 512)), ((100, 64), (96, 64))]
)
def test_where_the_workflow_follows_its_picture_so_does_the_demo(graph, table, wish, expected):
    graph["pose"] = {"class_type": "PoseControlInput", "inputs": {"width": 0, "height": 0}}
    fitted, _ = fit(graph, INFO, table, Wishes(size=wish, picture=(1200, 800)))
    assert tuple(fitted["pose"]["inputs"].values()) == expected
    # A canvas that the workflow states takes the wish as it is.
    assert tuple(fitted["latent"]["inputs"].values()) == (wish or (768, 512))


def test_the_size_of_a_picture_is_read_and_junk_is_refused():
    assert picture_size(find_picture("none.png")) == (768, 512)
    with pytest.raises(DevError, match="can be read"):
        picture_size(b"junk")


@pytest.mark.parametrize("text", ["768", "x", "axb", "-1x5"])
def test_a_bad_size_is_refused(text):
    import argparse

    with pytest.raises(argparse.ArgumentTypeError, match="768x512"):
        size(text)


def test_files_that_no_small_model_stands_in_for_are_absent(graph, table):
    loader = {"class_type": "CLIPLoader", "inputs": {"clip_name": "big.safetensors", "type": "x"}}
    offered: list[str] = []
    info = {**INFO, "CLIPLoader": {"input": {"required": {"clip_name": [offered]}}}}
    assert absent_files(graph, info, table) == []
    assert absent_files({**graph, "clip": loader}, info, table) == ["big.safetensors"]
    offered.append("big.safetensors")
    assert absent_files({**graph, "clip": loader}, info, table) == []


def test_drawn_people_are_painted_by_their_own_model(table):
    """Where it is there, and nobody asks for a size, steps or a checkpoint of their own."""
    own = {
        "load": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}}
    }
    there = {"CheckpointLoaderSimple": {"input": {"required": {
        "ckpt_name": ["COMBO", {"options": ["small_sd15.safetensors", "paper_dolls.safetensors"]}]
    }}}}  # fmt: skip
    usual = Wishes(size=size(table["size"]), steps=table["steps"], quick=True)
    mixed, wishes = with_dolls(own, there, table, usual)
    assert wishes.checkpoint == "paper_dolls.safetensors" and wishes.size == (288, 192)
    assert wishes.steps == 10 and len(wishes.loras) == 2
    fitted, _ = fit(own, there, mixed, wishes)
    assert fitted["load"]["inputs"]["ckpt_name"] == "paper_dolls.safetensors"
    assert with_dolls(own, there, table, replace(usual, steps=9))[1].steps == 9
    for graph, info, asked in (
        ({}, there, usual),
        (own, INFO, usual),
        (own, there, replace(usual, quick=False, checkpoint="mine.safetensors")),
    ):
        assert with_dolls(graph, info, table, asked) == (table, asked)


def test_what_the_pack_is_for_is_drawn_first():
    names = [path.stem for path in chosen_workflows([])]
    assert names[0] == "multi_person" and names[1:] == sorted(names[1:]) and len(names) > 5
    assert [path.stem for path in chosen_workflows(["lora_multi"])] == ["lora_multi"]
    with pytest.raises(DevError, match="no workflow 'nobody'"):
        chosen_workflows(["nobody"])


def test_what_is_drawn_also_changes_texts_that_its_workflow_has(table):
    also = table["dolls"]["also"]
    for stem, more in also.items():
        graph = json.loads((WORKFLOWS / f"{stem}.json").read_text(encoding="utf-8"))
        there = {
            f"{node['class_type']}.{name}" for node in graph.values() for name in node["inputs"]
        }
        for new, texts in more.items():
            assert not (WORKFLOWS / f"{new}.json").exists() and set(texts) <= there


@pytest.mark.parametrize("there", [True, False])
def test_a_workflow_is_drawn_also_with_other_texts_where_their_model_is(table, monkeypatch, there):
    """One that fails fails the workflow."""
    drawn = {}
    offered = [table["dolls"]["checkpoint"]] if there else []

    class Stub:
        def object_info(self):
            return {"CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [offered]}}}}

    def render_one(client, graph, stem, table, wishes, photo):
        drawn[stem] = table["texts"]["PrimitiveStringMultiline.value"].count("ohwx")
        return stem != "multi_person_three"

    monkeypatch.setattr(demo, "render_one", render_one)
    monkeypatch.setattr(demo, "absent_files", lambda *_: [])
    wishes = Wishes(size=size(table["size"]), steps=table["steps"], quick=True)
    assert demo.render(Stub(), WORKFLOWS / "multi_person.json", table, wishes) is not there
    assert drawn == ({"multi_person": 2, "multi_person_three": 3} if there else {"multi_person": 2})
