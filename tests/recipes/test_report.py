"""What the report says, what is kept of the input, and the editor's form of a graph."""

from dataclasses import replace

import pytest
from ensemble_portraits.ensemble.recipes.build import OutputSize
from ensemble_portraits.ensemble.recipes.compiler import compile_recipe
from ensemble_portraits.ensemble.recipes.editor import to_editor
from ensemble_portraits.ensemble.recipes.reading import read_recipe
from ensemble_portraits.ensemble.recipes.shrink import Shrink, shrink_recipe

from .compiling import SEEDED, classes, compiled, inputs
from .conftest import EXAMPLES


def test_a_person_without_text_is_told(machine, validate):
    found = compiled("s BREAK c BREAK BREAK bob", machine)
    validate(found.graph)
    assert "prompt: person 1 has no text of their own" in found.report["notes"]


def test_kept_pixels_are_pasted_back_on_request(machine, validate):
    text = "a --mask_prompt foreground --mask_invert\ninput_image=portrait.png"
    options = replace(SEEDED, output_size=OutputSize.INPUT)
    assert "EnsemblePasteBack" not in classes(compiled(text, machine).graph)
    graph = compiled(text, machine, options).graph
    validate(graph)
    assert inputs(graph, "paste_back")["original"] == ["input", 0]


def test_every_default_that_acted_is_reported(machine):
    found = compiled("a\ninput_image=portrait.png\nsteps=5", machine)
    assert found.report["defaults"] == {
        "num_images": 1,
        "seed": 7,
        "cfg_scale": 7.0,
        "scheduler": "dpm++sde_karras",
        "use_lpw": True,
        "denoising_strength": 0.8,
    }
    found = compiled("a\ninput_image=portrait.png\nhires_fix=true\ncontrolnet=pose", machine)
    assert (
        found.report["defaults"].items()
        >= {
            "hires_denoising_strength": 0.4,
            "hires_cfg_scale": 5.5,
            "controlnet_conditioning_scale": 1.0,
            "control_guidance_end": 1.0,
        }.items()
    )


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("a --mask_negative clothes", "mask_negative"),
        ("a --mask_dilate 5", "mask_dilate"),
        ("a --hires_denoising_strength 0.3", "hires_denoising_strength"),
        ("a --controlnet_weights 0.5", "controlnet_weights"),
        ("a\ncontrolnet_conditioning_scale=0.5", "controlnet_conditioning_scale"),
        ("a\ndenoising_strength=0.5", "denoising_strength"),
        ('{"prompt": "a", "model_id": "small_sd15", "algorithm_type": "dpmsolver+++"}',
         "algorithm_type"),
        ('{"prompt": "a", "model_id": "small_sd15", "use_karras_sigmas": "yes", "scheduler": '
         '"DDIMScheduler"}', "use_karras_sigmas"),
        ('{"prompt": "a", "model_id": "small_sd15", "safety_checker_type": "blur"}',
         "safety_checker_type"),
    ],
)  # fmt: skip
def test_a_setting_that_can_do_nothing_is_told(machine, text, setting):
    notes = compiled(text, machine).report["notes"]
    assert [note for note in notes if note.startswith(setting) and "does nothing" in note]
    assert not [note for note in compiled("a", machine).report["notes"] if "does nothing" in note]


def test_a_mask_that_keeps_nothing_is_told(machine):
    text = "a --mask_prompt foreground\ninput_image=portrait.png\ncontrolnet=pose\n"
    told = "mask: sampling starts from noise, so nothing is kept"
    assert told in compiled(text + "controlnet_txt2img=true", machine).report["notes"]
    assert told not in compiled(text, machine).report["notes"]


def test_a_cut_picture_is_not_pasted_into_the_whole_one(machine):
    text = "a --mask_prompt foreground\ninput_image=portrait.png\nw=512\nh=512"
    found = compiled(text, machine, replace(SEEDED, output_size=OutputSize.INPUT))
    assert inputs(found.graph, "paste_back")["original"] == ["working_size", 0]
    assert any(note.startswith("output_size:") for note in found.report["notes"])


def test_shrinking_changes_size_and_steps_and_nothing_else(machine):
    recipe = read_recipe((EXAMPLES / "multi_person.txt").read_text()).require()
    small, changes = shrink_recipe(recipe, Shrink(192, 128, 2))
    assert small == replace(recipe, width=192, height=128, steps=2)
    assert changes == {"width": "768 -> 192", "height": "512 -> 128", "steps": "default -> 2"}
    assert shrink_recipe(small, Shrink(192, 128, 2)) == (small, {})
    one = compile_recipe(recipe, machine, SEEDED).graph
    two = compile_recipe(small, machine, SEEDED).graph
    assert classes(one) == classes(two)


def test_the_editor_form_keeps_values_in_the_editors_order_and_links_run_right(machine):
    text = "a --mask_prompt face\ninput_image=portrait.png\nmask_image=mask.png"
    graph = compiled(text, machine).graph
    nodes = dict(zip(graph, to_editor(graph, machine.nodes)["nodes"], strict=True))
    # The upload button stands behind all other widgets.
    assert nodes["mask"]["widgets_values"] == ["mask.png", "red", "image"]
    assert nodes["sampler"]["widgets_values"][:3] == [True, 7, "fixed"]
    column = {key: node["pos"][0] for key, node in nodes.items()}
    for key, node in graph.items():
        sources = [value[0] for value in node["inputs"].values() if isinstance(value, list)]
        assert all(column[source] < column[key] for source in sources)
    # Loaders stand beside what they feed, not all at the start.
    assert column["mask"] == column["mask_size"] - column["people"]
    assert len({(node["pos"][0], node["pos"][1]) for node in nodes.values()}) == len(nodes)


def test_files_beyond_the_most_that_are_hashed_are_named(machine, monkeypatch):
    from ensemble_portraits.ensemble.server import library
    from ensemble_portraits.ensemble.server.editor.compile import compile_body

    monkeypatch.setattr(library, "MOST_HASHED", 2)
    text = "a <lora:849330:1> <lora:more_details:1>"
    body = {"text": text, "skip_missing": True}
    status, answer = compile_body(body | {"hashes": True})
    assert status == 200
    hashed = answer["report"]["hashes"]
    assert len(hashed) == 2
    (note,) = [note for note in answer["report"]["notes"] if note.startswith("hashes:")]
    assert "2 files at most" in note
    used = {each["file"] for each in answer["report"]["files"] if each["folder"] in library.HASHED}
    (left,) = used - set(hashed)
    assert left in note
    for fewer in (body, {**body, "text": "a <lora:849330:1>", "hashes": True}):
        notes = compile_body(fewer)[1]["report"]["notes"]
        assert not any(note.startswith("hashes:") for note in notes)


def test_a_picture_within_the_recipe_is_looked_for_among_no_files(machine, monkeypatch):
    from ensemble_portraits.ensemble.server import library

    def never(folder, *_):
        raise AssertionError(folder)

    monkeypatch.setattr(library, "names_among", never)
    assert library.this_machine().size("data:image/png;base64,AAAA") is None
