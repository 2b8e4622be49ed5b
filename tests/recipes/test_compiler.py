"""The documented examples and modes as graphs."""

import json

import pytest
from ensemble_portraits.ensemble.recipes.problems import RecipeError

from .compiling import classes, compiled, inputs
from .conftest import EXAMPLES

NAMES = ("multi_person.txt", "masked_portrait.txt", "lora_multi.json")


@pytest.mark.parametrize("name", NAMES)
def test_documented_examples_validate_and_match_their_snapshots(name, machine, validate, snapshot):
    found = compiled((EXAMPLES / name).read_text(), machine)
    validate(found.graph)
    assert found.missing == ()
    assert found.graph == snapshot(name="graph")
    assert found.report == snapshot(name="report")


@pytest.mark.parametrize(
    ("text", "present", "absent"),
    [
        # The documented modes of multi-person, by their numbers there.
        ("s BREAK c BREAK a <lora:849330:1> BREAK b\ninput_image=skeleton.png\ncontrolnet=pose\n"
         "controlnet_txt2img=true", {"PoseControlInput", "EmptyLatentImage"}, {"VAEEncode"}),
        ("BREAK BREAK a BREAK b\ninput_image=portrait.png\ncontrolnet_txt2img=false",
         {"PoseControlInput", "MaskComposite", "InpaintModelConditioning"},
         {"ControlNetApplyAdvanced", "EmptyLatentImage"}),
        ("s BREAK c BREAK a BREAK b\ncontrolnet_txt2img=true\nw=512\nh=640",
         {"EmptyLatentImage"}, {"PoseControlInput", "LoadImage"}),
        ("DALLE: s BREAK c BREAK a", {"EmptyLatentImage"}, {"PoseControlInput"}),
        ("s BREAK c BREAK a\ninput_image=portrait.png\ncontrolnet_txt2img=true",
         {"VAEEncode"}, {"PoseControlInput", "EmptyLatentImage", "InpaintModelConditioning"}),
        ("s BREAK c BREAK a BREAK b\ncontrolnet=pose", {"PoseControlInput"}, {"LoadImage"}),
        ("plain\ninput_image=portrait.png\nmask_image=mask.png",
         {"LoadImageMask", "DifferentialDiffusion"}, {"MaskFromPrompt"}),
        ("BREAK BREAK a BREAK b\ninput_image=portrait.png\nmask_image=mask.png",
         {"LoadImageMask", "InpaintModelConditioning"}, {"PoseControlInput", "MaskComposite"}),
        ("plain\ncontrolnet=canny\ninput_image=portrait.png", {"Canny"}, {"PoseControlInput"}),
    ],
)  # fmt: skip
def test_documented_modes(text, present, absent, machine, validate):
    graph = compiled(text, machine).graph
    validate(graph)
    assert present <= set(classes(graph))
    assert not absent & set(classes(graph))


def test_a_person_of_another_checkpoint_is_painted_in_a_second_pass(machine, validate):
    found = compiled(
        "scene BREAK c BREAK ann <lora:small_sd15:1> BREAK bob <lora:849330:1>", machine
    )
    validate(found.graph)
    graph = found.graph
    assert "small_sd15" not in inputs(graph, "people")["text"]
    assert "<lora:849330:1>" in inputs(graph, "people")["text"]
    assert inputs(graph, "person_1_prompt")["text"] == "ann, c"
    assert inputs(graph, "person_1_composite")["mask"] == ["person_1_mask", 0]
    assert "person_2_checkpoint" not in graph


def test_two_people_of_other_checkpoints_lose_their_tags_and_nothing_else(machine):
    text = "scene BREAK c BREAK ann <lora:small_sd15:1> BREAK bob <lora:small_sd15:0.5>, tall"
    graph = compiled(text, machine).graph
    assert inputs(graph, "people")["text"].split() == (
        ["scene", "BREAK", "c", "BREAK", "ann", "BREAK", "bob", ",", "tall"]
    )
    assert inputs(graph, "person_2_prompt")["text"] == "bob, tall, c"


@pytest.mark.parametrize("prompt", ["a BREAK b <lora:849330:1>", "BREAK BREAK a woman"])
def test_break_is_a_plain_word_in_the_json_calls(machine, validate, prompt):
    body = {"prompt": prompt, "model_id": "small_sd15", "init_image": "portrait.png"}
    graph = compiled(json.dumps(body), machine).graph
    validate(graph)
    assert not {"PoseControlInput", "BreakRegionalPrompt"} & set(classes(graph))


def test_thousands_of_names_are_refused_before_they_are_looked_up(machine):
    from dataclasses import replace

    looked = []
    counting = replace(machine, find=lambda *name: looked.append(name) or machine.find(*name))
    text = " ".join(f"<lora:x{n}:1>" for n in range(501))
    with pytest.raises(RecipeError, match="at most 500"):
        compiled(text, counting)
    assert {folder for _, folder in looked} == {"checkpoints"}
