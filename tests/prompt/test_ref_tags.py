"""`<ref:NAME>`: a person's picture, in that person's part and nowhere else."""

import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.grammar import (
    MOST_REFERENCES,
    OneBreakError,
    parse_break,
    parse_negative,
)


@pytest.mark.parametrize(
    ("part", "words", "picture", "loras"),
    [
        ("a woman <ref:ann>", "a woman", "ann", []),
        ("<ref:ann.png>, a woman", "a woman", "ann.png", []),
        (
            "a woman, <REF: people/ann b.v2.jpg >, in red",
            "a woman, in red",
            "people/ann b.v2.jpg",
            [],
        ),
        ("a <lora:ann:0.5> woman <ref:ann> <lora:coat>", "a woman", "ann", ["ann", "coat"]),
        ("<ref:BREAK>", "", "BREAK", []),
        ("a preference <3", "a preference <3", None, []),
    ],
)
def test_a_person_has_a_picture(part, words, picture, loras):
    text = f"park BREAK photo BREAK {part} BREAK a man"
    person, other = parse_break(text).people
    assert person.text == words
    assert [tag.name for tag in person.loras] == loras
    assert other.reference is None
    assert (person.reference and person.reference.name) == picture
    if person.reference:
        tag = person.reference
        assert text[tag.start : tag.end].lower().startswith("<ref:")


@pytest.mark.parametrize(
    ("text", "words", "at"),
    [
        ("s BREAK BREAK a <ref:ann", "is not closed: add '>'", "<ref"),
        ("s BREAK BREAK a <ref: >", "has no name: write <ref:NAME>", "<ref"),
        ("s BREAK BREAK a <ref:ann> <ref:bob>", "second reference picture in one part", "<ref:bob"),
        ("s <ref:ann> BREAK BREAK a", "one person's, and here it stands in the scene", "<ref"),
        ("s BREAK c <ref:ann> BREAK a", "move it into a person's part", "<ref"),
        ("a woman <ref:ann>", "one person's", "<ref"),
    ],
)
def test_mistakes_are_told_with_their_place(text, words, at):
    with pytest.raises(PromptError, match=words) as caught:
        parse_break(text)
    assert caught.value.offset == text.index(at)


def test_one_break_short():
    text = "scene BREAK a woman <ref:ann>"
    with pytest.raises(OneBreakError, match="a reference but no person follows") as caught:
        parse_break(text)
    assert parse_break(caught.value.mended(text)).people[0].reference.name == "ann"


def test_the_negative_has_none():
    with pytest.raises(PromptError, match="stands in the negative; move it to the prompt"):
        parse_negative("bad BREAK BREAK ugly <ref:ann>", 1)


def test_twenty_are_too_many():
    text = "s BREAK BREAK " + " BREAK ".join(f"a <ref:p{i}>" for i in range(20))
    with pytest.raises(PromptError, match=f"20 reference pictures, and {MOST_REFERENCES} are"):
        parse_break(text)
