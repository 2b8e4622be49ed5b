"""Answers, commands and programs that are pasted in place of a body."""

import json

import pytest
from ensemble_portraits.ensemble.recipes.reading import read_recipe
from ensemble_portraits.ensemble.recipes.unwrap import NoBodyError, unwrapped

from .conftest import EXAMPLES

BODY = {
    "model_id": "small",
    "prompt": "a {red|blue} hat \u00e4",
    "width": "512",
    "lora_model": None,
}


@pytest.mark.parametrize(
    "wrapped",
    [
        "curl --location 'https://x/api/v4/dreambooth' \\\n--header 'A: b' \\\n--data-raw '{}'",
        'import requests\nimport json\nurl = "https://x"\npayload = json.dumps({})\nheaders = {{"a": "b"}}',
        "var myHeaders = new Headers();\nvar raw = JSON.stringify({});\nfetch('https://x', {{method: 'POST'}})",
        "const options = {{ method: 'POST' }};\nconst body = {};",
    ],
)
def test_the_body_is_taken_out_of_a_command_or_a_program(wrapped):
    text = wrapped.format(json.dumps(BODY, indent=2, ensure_ascii=False))
    assert json.loads(unwrapped(text)) == BODY


def test_an_answer_s_meta_is_the_body():
    answer = (EXAMPLES / "lora_multi_response.json").read_text(encoding="utf-8")
    recipe = read_recipe(unwrapped(answer)).require()
    assert (recipe.model, recipe.seed, recipe.steps) == ("f222-diffusion", 3361266218, 20)
    assert (recipe.width, recipe.height, recipe.pictures) == (512, 512, 1)
    assert recipe.loras == ("ganyu-lora", "more_details") and recipe.lora_strengths == (1.0,)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(BODY),
        "a {red|blue} hat BREAK photo BREAK a woman",
        "let there be light BREAK photo BREAK a woman",
        '{"prompt": "a", "meta": {"prompt": "b"}}',
        '{"meta": 1',
        "",
    ],
)
def test_what_is_no_wrapping_stays_as_it_is(text):
    assert unwrapped(text) == text


def test_a_program_without_a_body_says_what_to_paste():
    with pytest.raises(NoBodyError, match="from its"):
        unwrapped("<?php\n$payload = ['prompt' => 'a woman'];")
