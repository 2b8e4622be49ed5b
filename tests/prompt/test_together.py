"""Parts of several people together: `1+2: shaking hands`."""

import re

import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.grammar import parse_break, parse_negative, split_parts
from ensemble_portraits.ensemble.prompt.reading import read_prompt
from ensemble_portraits.ensemble.server.editor.readings import tell_prompt
from hypothesis import given
from hypothesis import strategies as st

PEOPLE = "park BREAK photo BREAK a woman BREAK a man"


def test_a_part_of_two_people():
    text = f"{PEOPLE} BREAK 1+2: shaking <lora:hands:0.5> hands"
    prompt = parse_break(text)
    assert [part.text for part in prompt.people] == ["a woman", "a man"]
    assert prompt.person_texts == parse_break(PEOPLE).person_texts
    (both,) = prompt.together
    assert both.members == (0, 1) and both.text == "shaking hands"
    assert prompt.together_texts == ("shaking hands, photo",)
    assert [tag.name for tag in both.part.loras] == ["hands"]
    assert read_prompt(text).people == 2 and not read_prompt(text).problems
    # Nobody in the negative, either.
    assert len(read_prompt(text, "bad BREAK BREAK a BREAK b").negatives.person_texts) == 2


@pytest.mark.parametrize("head", ["2+1:", "1 + 2 :", "1+2 :x", "\n1+2:\n"])
def test_ways_to_write_it(head):
    (both,) = parse_break(f"{PEOPLE} BREAK {head}").together
    assert set(both.members) == {0, 1}


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("1+3: hug", "must name two people or more of the 2"),
        ("0+1: hug", "must name two"),
        ("1+1: hug", "each once"),
        ("1+2+1: hug", "each once"),
        ("1+2: hug BREAK a third", "stands behind a part of several"),
    ],
)
def test_mistakes_say_where(part, says):
    text = f"{PEOPLE} BREAK {part}"
    with pytest.raises(PromptError, match=says) as caught:
        parse_break(text)
    at = text.index("a third") if "third" in part else text.index(part[0] + "+")
    assert abs(caught.value.offset - at) <= 1
    assert [p.input for p in read_prompt(text).problems] == ["text"]


words = st.lists(
    st.sampled_from([
        "BREAK", "a woman", "1", "2:", "1 :", "ratio 16:9", "1+", "+2", "<lora:x:1>", ",", "\n", "1+1",
        "2 + 2 women",
    ]),
    max_size=14,
)  # fmt: skip


@given(words)
def test_hosted_texts_are_what_they_were(pieces):
    """Without numbers and a colon at a part's begin, every part behind the second is a person."""
    text = " ".join(pieces)
    try:
        parts, prompt = split_parts(text), parse_break(text)
    except PromptError:
        return
    if any(re.match(r"\d+(\s*\+\s*\d+)+\s*:", part.text) for part in parts[2:]):
        return
    assert prompt.people == tuple(parts[2:]) and prompt.together == ()
    assert prompt.base is parts[0] or prompt.base == parts[0]
    own = parse_negative("a BREAK b", len(parts[2:])).person_texts
    assert len(own) == len(prompt.people)


def test_the_editor_is_told_who_does_it():
    told = tell_prompt(f"{PEOPLE} BREAK 1+2: dancing")
    assert [part["role"] for part in told["parts"]] == [
        "base",
        "common",
        *["person"] * 2,
        "together",
    ]
    last = told["parts"][-1]
    assert last["members"] == [1, 2] and last["number"] is None and last["text"] == "dancing"
    assert not told["problems"]
