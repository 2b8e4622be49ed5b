import json
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.grammar import parse_break
from ensemble_portraits.ensemble.recipes.styles import NAMES, STYLES, enhance
from hypothesis import given
from hypothesis import strategies as st

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "recipes"


def words(text: str) -> list[str]:
    return [word.strip() for word in text.replace("(teen:1.5) ugly", "(teen:1.5), ugly").split(",")]


def test_hosted_adds_the_words_of_the_documented_answer():
    """The service printed request and answer; it joins without separators, we join with commas."""
    request = json.loads((EXAMPLES / "lora_multi.json").read_text())
    answer = json.loads((EXAMPLES / "lora_multi_response.json").read_text())["meta"]
    hosted = next(style for style in STYLES if style.name == "hosted")
    added = answer["prompt"].removeprefix(f" {request['prompt']} ")
    assert words(hosted.prompt) == words(added)
    added = answer["negative_prompt"].removeprefix(request["negative_prompt"])
    assert words(hosted.negative) == words(added)
    prompt, negative = enhance(request["prompt"], request["negative_prompt"], "hosted")
    assert prompt == f"{request['prompt']}, {hosted.prompt}"
    # What the negative had already ("poorly drawn hands", …) is not repeated.
    assert sorted(set(words(negative))) == sorted(words(negative))


def test_words_join_the_common_part_of_a_prompt_with_breaks():
    prompt, _ = enhance("a park BREAK kodak BREAK anna <lora:a:1> BREAK bob", "", "photo")
    parts = parse_break(prompt)
    assert parts.base.text == "a park"
    assert parts.common.text.startswith("kodak, photograph")
    assert [person.text for person in parts.people] == ["anna", "bob"]


@pytest.mark.parametrize("style", NAMES)
def test_enhancing_twice_is_enhancing_once(style):
    once = enhance("a woman", "hat", style)
    assert enhance(*once, style) == once


@given(st.text(), st.text())
def test_none_leaves_both_texts_as_they_are(prompt, negative):
    assert enhance(prompt, negative, "none") == (prompt, negative)


@given(st.lists(st.sampled_from(["a", ", ", "BREAK", " ", "<lora:x:1>", "(b:1.2)"]), max_size=9))
def test_people_stay_as_they_are(pieces):
    text = " ".join(pieces)
    try:
        before = parse_break(text)
    except PromptError:
        return
    after = parse_break(enhance(text, "", "photo")[0])
    assert [person.text for person in after.people] == [person.text for person in before.people]
    assert after.shared_loras == () or len(after.shared_loras) == len(before.shared_loras)
