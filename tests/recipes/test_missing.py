"""What a recipe needs and the machine lacks, or nobody can do."""

import base64
import json
import sys
from dataclasses import replace
from io import BytesIO

import pytest
from ensemble_portraits.ensemble.language import translate
from ensemble_portraits.ensemble.recipes.build import Options
from ensemble_portraits.ensemble.recipes.library import MissingError
from ensemble_portraits.ensemble.recipes.problems import RecipeError

from .compiling import compiled, inputs
from .conftest import EXAMPLES


def test_a_missing_picture_is_told_by_the_services_own_field(machine):
    for text, field in (
        ('{"prompt": "a", "model_id": "small_sd15", "init_image": "gone.png"}', "init_image"),
        ("a\ninput_image=gone.png", "input_image"),
    ):
        with pytest.raises(MissingError) as error:
            compiled(text, machine, Options())
        assert [each.setting for each in error.value.missing] == [field]


def test_everything_missing_comes_in_one_answer(machine):
    body = {
        "prompt": "<lora:nobody:1>", "model_id": "no-such", "vae": "none-such",
        "lora_model": "a,849330,b", "embeddings_model": "e", "init_image": "https://h/gone.png",
        "scheduler": "EulerDiscreteScheduler",
    }  # fmt: skip
    with pytest.raises(MissingError) as error:
        compiled(json.dumps(body), machine, Options())
    found = {(each.folder, each.name) for each in error.value.missing}
    assert found == {
        ("checkpoints", "no-such"),
        ("vae", "none-such"),
        ("loras", "a"),
        ("loras", "b"),
        ("loras", "nobody"),
        ("embeddings", "e"),
        ("images", "gone.png"),
    }
    assert "section 'loras'" in str(error.value)


def test_what_cannot_be_built_is_refused_with_its_reason(machine):
    people = " BREAK ".join(["s", "c", *["p"] * 100])
    for text, words in (
        (people, "100 people"),
        ("a\nscheduler=tcd", "no true equivalent"),
        ("a\nscheduler=banana", "is not a hosted scheduler"),
        ("a --mask_prompt face", "needs an input picture"),
        ("a\nmask_image=mask.png", "needs an input picture"),
        ("a\ncontrolnet=depth\ninput_image=portrait.png", "depth needs a preprocessor"),
    ):
        with pytest.raises(RecipeError, match=words):
            compiled(text, machine)


def test_skip_missing_leaves_out_and_says_so(machine, validate):
    found = compiled(json.dumps({"prompt": "a", "model_id": "small_sd15", "lora_model": "a,849330"}),
                     machine)  # fmt: skip
    validate(found.graph)
    assert inputs(found.graph, "loras")["loras"] == "849330"
    assert len(found.report["left_out"]) == 1
    assert "'a'" in found.report["left_out"][0]


_OUTSIDE = ("../secret", "..\\secret", "a/../../secret", "/etc/passwd")
_NAME_FIELDS = {
    "model_id": {},
    "vae": {},
    "lora_model": {},
    "embeddings_model": {},
    "init_image": {},
    "mask_image": {"init_image": "portrait.png"},
}
_NAME_LINES = (
    "a\ninput_image={}",
    "a\ninput_image_url=https://host/{}",
    "a\ninput_image=portrait.png\nmask_image={}",
    "a <{}>",
    "s BREAK c BREAK a <lora:{}:1>",
)


@pytest.mark.parametrize("outside", _OUTSIDE)
def test_no_name_field_leads_out_of_its_folder(machine, outside):
    texts = [
        json.dumps({"prompt": "a", "model_id": "small_sd15", **others, field: outside})
        for field, others in _NAME_FIELDS.items()
    ]
    for text in [*texts, *(line.format(outside) for line in _NAME_LINES)]:
        with pytest.raises((RecipeError, MissingError)):
            compiled(text, machine, Options())


def test_a_500_lora_list_names_each_missing_one_once(machine):
    body = {"prompt": "a", "lora_model": ",".join(f"no{i % 250}" for i in range(500))}
    with pytest.raises(MissingError) as error:
        compiled(json.dumps(body), machine, Options())
    assert len(error.value.missing) == 250


def test_data_urls_become_uploads(machine, validate):
    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    found = compiled(
        json.dumps({"prompt": "a", "model_id": "small_sd15", "init_image": url}), machine
    )
    [(name, content)] = found.uploads.items()
    assert content == buffer.getvalue()
    assert inputs(found.graph, "input")["image"] == name
    # A photo is longer than any text may be.
    photo = "data:image/jpeg;base64," + base64.b64encode(b"\xff" * 3_000_000).decode()
    for text in (
        json.dumps({"prompt": "a", "model_id": "small_sd15", "init_image": photo}),
        json.dumps({"prompt": "a", "model_id": "small_sd15", "init_image": photo}).replace(
            "/", "\\/"
        ),
        f"a\ninput_image={photo}",
    ):
        [content] = compiled(text, machine).uploads.values()
        assert content == b"\xff" * 3_000_000
    broken = {"prompt": "a", "init_image": "data:image/png;base64,@@@"}
    with pytest.raises(RecipeError, match="not base64"):
        compiled(json.dumps(broken), machine)


@pytest.mark.parametrize(
    "text",
    [
        (EXAMPLES / "masked_portrait.txt").read_text().replace("d6ff3soq5pok", "gone"),
        "a\ninput_image=gone.png\nmask_image=mask.png",
        "a\ninput_image=gone.png\ncontrolnet=canny",
    ],
)
def test_a_picture_that_is_not_here_is_missing_not_unnamed(machine, text):
    with pytest.raises(MissingError, match="gone"):
        compiled(text, machine, Options())


GERMAN = '{"prompt": "Eine Frau steht im Garten und lacht", "multi_lingual": "yes"}'


def test_the_language_is_told_when_the_recipe_is_compiled(machine, validate):
    found = compiled(GERMAN, machine)
    assert inputs(found.graph, "translate")["language"] == "de"
    validate(found.graph)


def test_a_missing_language_guesser_is_listed_before_the_job_is_taken(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    translate._identifier.cache_clear()
    with pytest.raises(MissingError, match=r"py3langid.*write the prompt in English"):
        compiled(GERMAN, machine, Options())
    english = GERMAN.replace("Eine Frau steht im Garten und lacht", "a photo of a woman")
    found = compiled(english, machine, Options())
    assert "translate" not in found.graph
    assert any("the prompt is English" in note for note in found.report["notes"])
    translate._identifier.cache_clear()


def test_each_text_is_asked_for_its_own_language(machine, validate):
    prompt = "a woman with the dog in a garden full of light"
    negative = "une image floue, des mains mal dessinées et laides"
    body = {"prompt": prompt, "negative_prompt": negative, "multi_lingual": "yes"}
    found = compiled(json.dumps(body), machine)
    validate(found.graph)
    assert "translate" not in found.graph
    asked = inputs(found.graph, "translate_negative")
    assert (asked["prompt"], asked["language"]) == (negative, "fr")
    assert inputs(found.graph, "enhance")["negative"] == ["translate_negative", 0]
    bare = replace(machine, files={**machine.files, "translation": ()})
    notes = compiled(json.dumps(body), bare, Options()).report["notes"]
    assert any("the negative's language is 'fr'" in note for note in notes)


def test_an_english_negative_is_left_alone_beside_another_prompt(machine):
    body = {**json.loads(GERMAN), "negative_prompt": "blurry hands, the worst quality with noise"}
    graph = compiled(json.dumps(body), machine).graph
    assert "translate_negative" not in graph
    assert inputs(graph, "enhance")["negative"] == body["negative_prompt"]


def test_english_needs_no_translator(machine):
    bare = replace(machine, files={**machine.files, "translation": ()})
    english = GERMAN.replace("Eine Frau steht im Garten und lacht", "a cat and the dog")
    assert "translate" not in compiled(english, bare, Options()).graph
    with pytest.raises(MissingError, match=r"language is 'de'.*mBART-50"):
        compiled(GERMAN, bare, Options())
