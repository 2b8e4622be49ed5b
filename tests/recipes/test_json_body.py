import json
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.recipes.json_body import read_json
from ensemble_portraits.ensemble.recipes.reading import read_recipe
from ensemble_portraits.ensemble.recipes.recipe import Recipe, Service, Task
from ensemble_portraits.ensemble.recipes.settings import JSON_FIELDS
from hypothesis import given
from hypothesis import strategies as st

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "recipes"


def body(**fields) -> str:
    return json.dumps({"prompt": "a portrait", **fields})


def test_lora_multi_as_printed():
    text = (EXAMPLES / "lora_multi.json").read_text()
    reading = read_recipe(text)
    printed = json.loads(text)
    assert reading.problems == ()
    assert reading.recipe == Recipe(
        Service.LORA_MULTI,
        prompt=printed["prompt"],
        negative=printed["negative_prompt"],
        model="f222-diffusion",
        loras=("ganyu-lora", "more_details"),
        pictures=1,
        steps=30,
        cfg=7.5,
        scheduler="UniPCMultistepScheduler",
        width=512,
        height=512,
        safety_checker=True,
        enhance=True,
        translate=False,
        panorama=False,
        self_attention=False,
        upscale=1,
    )


def test_numbers_and_switches_in_every_spelling():
    spellings = [
        {"width": "512", "samples": 2, "tomesd": "no", "guidance_scale": "7"},
        {"width": 512, "samples": "2", "tomesd": False, "guidance_scale": 7.0},
        {"width": 512.0, "samples": " 2 ", "tomesd": "No", "guidance_scale": "7.0"},
    ]
    recipes = {read_json(body(**fields)).recipe for fields in spellings}
    assert recipes == {
        Recipe(
            Service.LORA_MULTI,
            prompt="a portrait",
            width=512,
            pictures=2,
            token_merging=False,
            cfg=7.0,
        )
    }


@pytest.mark.parametrize(
    ("fields", "task"),
    [
        ({}, Task.TEXT),
        ({"init_image": "a.png", "strength": "0.7"}, Task.IMAGE),
        ({"init_image": "a.png", "mask_image": "m.png", "steps": 21}, Task.INPAINT),
    ],
)
def test_the_call_is_told_by_its_pictures(fields, task):
    recipe = read_json(body(**fields)).recipe
    assert recipe is not None
    assert recipe.task is task
    assert recipe.steps == fields.get("steps")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("one", ("one",)),
        ("ganyu-lora, more_details", ("ganyu-lora", "more_details")),
        ('"a, b",c', ("a, b", "c")),
        ("", ()),
        ("no", ()),
        (None, ()),
    ],
)
def test_lora_lists(value, names):
    recipe = read_json(body(lora_model=value)).recipe
    assert recipe is not None
    assert recipe.loras == names


def test_field_names_that_clients_send_by_mistake_are_read_with_a_warning():
    reading = read_json(body(lora="a", embeddings="b"))
    assert reading.recipe is not None
    assert (reading.recipe.loras, reading.recipe.embeddings) == (("a",), ("b",))
    assert [problem.setting for problem in reading.warnings] == ["lora", "embeddings"]


def test_all_problems_are_reported_at_once_with_their_places():
    text = (
        '{"prompt": "a",\n "seed": 1,\n "seed": 2,\n "banana": 1,\n "steps": 5,\n'
        ' "lora_model": "a,b,c",\n "lora_strength": "1,0.5",\n "width": 99999,\n "samples": "x"}'
    )
    reading = read_json(text)
    assert reading.recipe is None
    assert {(p.setting, p.line) for p in reading.errors} == {
        ("seed", 2),
        ("banana", 4),
        ("steps", 5),
        ("lora_strength", None),
        ("width", 8),
        ("samples", 9),
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 1032),
        ("width", 248),
        ("samples", 5),
        ("num_inference_steps", 51),
        ("guidance_scale", 0.5),
        ("clip_skip", 9),
        ("height", 513),
        ("lora_strength", "1.5"),
    ],
)
def test_the_services_ranges_bind_under_strict_and_warn_otherwise(field, value):
    fields = {field: value} | ({"lora_model": "a"} if field == "lora_strength" else {})
    loose, strict = read_json(body(**fields)), read_json(body(**fields), strict=True)
    assert loose.recipe is not None
    assert [problem.setting for problem in loose.warnings] == [field]
    assert [problem.setting for problem in strict.errors] == [field]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("", "body"),
        ("[]", "body"),
        ('{"prompt": ', "body"),
        ('{"prompt": "a", "seed": NaN}', "body"),
        ('{"seed": ' + "1" * 5000 + "}", "body"),
        ('{"a":' * 100_000, "body"),
        ('{"prompt": "' + "a" * 10_000_000 + '"}', "body"),
        ("{}", "prompt"),
        ('{"prompt": ""}', "prompt"),
        ('{"prompt": 5}', "prompt"),
        ('{"prompt": ["a"]}', "prompt"),
        ('{"prompt": {"a": 1}}', "prompt"),
        (body(prompt="a\u0000b"), "prompt"),
        (body(prompt="\ud800"), "prompt"),
        (body(prompt="<lora::1>"), "prompt"),
        (body(negative_prompt="\x1b[2J"), "negative_prompt"),
        (body(model_id="../../etc/passwd"), "model_id"),
        (body(model_id="/etc/passwd"), "model_id"),
        (body(vae="C:\\vae.pt"), "vae"),
        (body(lora_model="../x"), "lora_model"),
        (body(embeddings_model="a,..\\b"), "embeddings_model"),
        (body(init_image="../a.png"), "init_image"),
        (body(init_image="file:///etc/passwd"), "init_image"),
        (body(mask_image="m.png"), "init_image"),
        (body(guidance_scale="inf"), "guidance_scale"),
        (body(guidance_scale=10**400), "guidance_scale"),
        (body(seed=-1), "seed"),
        (body(seed=1.5), "seed"),
        (body(seed=True), "seed"),
        (body(samples=0), "samples"),
        (body(algorithm_type="dpm"), "algorithm_type"),
    ],
)
def test_bad_bodies_are_refused_by_field(text, setting):
    reading = read_json(text)
    assert reading.recipe is None
    assert setting in [problem.setting for problem in reading.errors]


def test_a_prompt_of_the_wrong_kind_is_not_called_missing():
    told = [problem.message for problem in read_json(body(prompt=5)).problems]
    assert told == ["must be text, not 5"]
    told = [problem.message for problem in read_json(body(prompt="")).problems]
    assert told == ["The prompt field is required."]


def test_a_list_of_500_loras_is_read():
    recipe = read_json(body(lora_model=",".join(f"lora{i}" for i in range(500)))).recipe
    assert recipe is not None
    assert len(recipe.loras) == 500


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
_KEYS = st.sampled_from([setting.key for setting in JSON_FIELDS]) | st.text()


@given(st.dictionaries(_KEYS, _JSON))
def test_arbitrary_bodies_never_crash(fields):
    read_json(json.dumps(fields))


@given(st.text())
def test_arbitrary_text_never_crashes(text):
    read_json(text)


def test_a_lora_in_the_negative_is_refused_with_the_way_out():
    (error,) = read_json('{"prompt": "a", "negative_prompt": "ugly <lora:x:1>"}').errors
    assert error.setting == "negative_prompt" and "move it to the prompt" in error.message


def test_unknown_fields_are_left_out_where_the_owner_says_so():
    text = body(no_such_field=1, samplez=2, samples=3)
    assert len(read_json(text).errors) == 2
    reading = read_json(text, unknown_fields=True)
    assert reading.require().pictures == 3
    assert [each.setting for each in reading.warnings] == ["no_such_field", "samplez"]
    assert "did you mean samples?" in reading.warnings[1].message
