"""One reading of a prompt for the queue's check, the fingerprint, the run and the editor."""

import pytest
from ensemble_portraits.ensemble.prompt import reading
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.order import read_order
from ensemble_portraits.ensemble.prompt.reading import read_prompt
from ensemble_portraits.ensemble.server.editor.readings import tell_prompt
from ensemble_portraits.nodes.regional import BreakRegionalPrompt

TEXT = "a park BREAK photo BREAK a woman <lora:ganyu-lora:0.8> BREAK a man"


def test_what_is_right_is_understood():
    found = read_prompt(TEXT, "ugly", "a1111", "2,1")
    assert not found.problems and found.people == 2 and found.standing == (1, 0)
    assert [tag.name for tag in found.tags] == ["ganyu-lora"]
    prompt, negatives = found.require()
    assert prompt.person_texts == ("a woman, photo", "a man, photo")
    assert negatives.person_texts == ("ugly", "ugly")


def test_everything_that_is_wrong_is_told_and_the_first_is_raised():
    found = read_prompt("a BREAK b <lora:x:1>", "n <lora:x:1>", "loud", "2,1")
    assert [each.input for each in found.problems] == ["text", "negative", "weights", "order"]
    with pytest.raises(PromptError, match="People start at the third part"):
        found.require()


def test_brackets_of_the_negative_are_checked_too():
    (problem,) = read_prompt(TEXT, "(" * 200 + "x", "comfy").problems
    assert problem.input == "negative" and "deeper" in str(problem.error)


def test_an_error_that_is_raised_again_and_again_does_not_grow():
    def depth() -> int:
        try:
            read_prompt("a <lora:x").require()
        except PromptError as error:
            at, count = error.__traceback__, 0
            while at:
                at, count = at.tb_next, count + 1
            return count
        raise AssertionError

    assert depth() == depth()


def test_a_queue_parses_its_prompt_once(monkeypatch):
    parsed = []
    split = reading.split_parts
    monkeypatch.setattr(reading, "split_parts", lambda text: parsed.append(text) or split(text))
    text = f"{TEXT}, seen once"
    inputs = {"text": text, "negative": "", "weights": "a1111", "order": "", "on_missing": "error"}
    assert BreakRegionalPrompt.validate_inputs(**inputs) is True
    BreakRegionalPrompt.fingerprint_inputs(text=text, negative="", weights="a1111", order="")
    assert tell_prompt(text)["parts"][2]["loras"][0]["status"] == "found"
    assert parsed == [text]


@pytest.mark.parametrize("order", ["2,1", "2, 1", " 2 ,1 ", "2 1"])
def test_an_order_names_everybody_once(order):
    assert read_order(order, 2) == (1, 0)
    assert read_order(" ", 2) == (0, 1)


@pytest.mark.parametrize("order", ["1", "1,1", "1,2,3", "0,1", "2,1,0", "a", "1;2", "²,1", "-1,2"])
def test_an_order_that_leaves_somebody_out_is_a_mistake(order):
    with pytest.raises(ValueError, match=r"Input 'order' is .* each of the 2 people once"):
        read_order(order, 2)
