import json

import pytest
from ensemble_portraits.ensemble.prompt.cast import (
    CastError,
    Member,
    cast_of,
    expand,
    expand_negative,
    part_of,
    read_cast,
)
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.grammar import parse_break, parse_negative
from hypothesis import given
from hypothesis import strategies as st

CAST = cast_of(
    {
        "people": {
            "ann": {
                "words": "a woman with red hair", "trigger": "ohwx woman", "lora": "ann_v3",
                "strength": 0.9, "negative": "glasses",
            },
            "bob": {"words": "a tall man"},
            "duo": {"words": "@ann beside @bob"},
            "mary-lou": {"lora": "mary"},
        }
    }
)  # fmt: skip
ANN = "ohwx woman, a woman with red hair <lora:ann_v3:0.9>"


def test_a_name_becomes_its_person_and_the_part_adds_what_it_likes():
    found = expand("a park BREAK BREAK @ann smiling BREAK @Bob, in a coat", CAST)
    assert found.text == f"a park BREAK BREAK {ANN} smiling BREAK a tall man, in a coat"
    assert [member.name for member in found.people] == ["ann", "bob"]
    assert [(m.name, m.start, m.end) for m in found.mentions] == [("ann", 19, 23), ("bob", 38, 42)]
    prompt = parse_break(found.text)
    assert [tag.name for tag in prompt.people[0].loras] == ["ann_v3"]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("me@ann.example", "me@ann.example"),
        (r"\@ann", "@ann"),
        ("@ann, @ann", f"{ANN}, {ANN}"),
        ("(@bob:1.2)", "(a tall man:1.2)"),
        ("@duo.", f"{ANN} beside a tall man."),
        ("@mary-lou", "<lora:mary:1>"),
        ("<lora:@ann:1> @bob", "<lora:@ann:1> a tall man"),
        ("a @ b", "a @ b"),
    ],
)
def test_what_is_a_name_and_what_is_not(text, expanded):
    assert expand(text, CAST).text == expanded


def test_without_a_cast_an_at_is_an_at():
    assert expand(r"@ann \@ann", read_cast("")).text == r"@ann \@ann"


def test_nobody_is_told_where_and_who_is_near():
    with pytest.raises(PromptError, match=r"@anne is nobody in the cast; near: @ann") as error:
        expand("a park\nBREAK @anne", CAST)
    assert (error.value.offset, error.value.line, error.value.column) == (13, 2, 7)


def test_negatives_go_to_their_people():
    prompt = "a park BREAK common BREAK @ann BREAK @bob"
    found = expand_negative("blurry", prompt, CAST)
    split = parse_negative(found, 2)
    assert (split.base_text, split.person_texts) == ("blurry", ("blurry, glasses", "blurry"))
    own = expand_negative("blurry BREAK BREAK hat BREAK coat", prompt, CAST)
    assert parse_negative(own, 2).person_texts == ("hat, glasses", "coat")
    assert expand_negative("blurry", "@ann in a park", CAST) == "blurry, glasses"
    assert expand_negative("blurry", "a park BREAK BREAK @bob", CAST) == "blurry"
    empty = expand_negative("", prompt, CAST)
    assert parse_negative(empty, 2).person_texts == ("glasses", "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "a cast is an object"),
        ('{"people": {"ann": {}, "ann": {}}}', "'ann' is in the cast twice"),
        ('{"people": {"Ann": {}, "ann": {}}}', "two people of one name"),
        ('{"people": {"an n": {}}}', "a name has letters"),
        ('{"people": {"ann": 3}}', "ann: must be an object"),
        ('{"people": {"ann": {"word": "x"}}}', "did you mean words"),
        ('{"people": {"ann": {"words": 3}}}', "ann, words: must be text"),
        ('{"people": {"ann": {"strength": "1"}}}', "ann, strength: must be a number"),
        ('{"people": {"ann": {"strength": NaN}}}', "ann, strength: must be finite"),
        ('{"people": {"ann": {"faces": 3}}}', "ann, faces: must be a picture's name"),
        ('{"people": {"ann": {"lora": "a:1>"}}}', "ann, lora: must be a name"),
        ('{"people": {"ann": {"words": "a BREAK b"}}}', "BREAK begins another part"),
        ('{"people": {"a": {"words": "@b"}, "b": {"words": "@c"}, "c": {"words": "@a"}}}',
         "in a circle: @b -> @c -> @a -> @b"),
        ('{"people": {"a": {"words": "@z"}}}', "a, words: @z is nobody"),
    ],
)  # fmt: skip
def test_a_cast_that_cannot_be_used_says_why(text, says):
    with pytest.raises(CastError, match=says):
        read_cast(text)


def test_the_schema_takes_what_is_read_and_refuses_what_is_not():
    jsonschema = pytest.importorskip("jsonschema")
    from dev.cache import ROOT

    schema = json.loads((ROOT / "docs" / "cast.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema).is_valid
    fields = set(schema["$defs"]["person"]["properties"])
    assert fields == (set(Member.__dataclass_fields__) - {"name"}) | {"class"}
    assert check(
        {
            "people": {
                "ann": {"words": "x", "strength": 0.5, "faces": ["a.png"]},
                "b": {"faces": "b.png"},
            }
        }
    )
    for bad in ({}, {"people": []}, {"people": {"a b": {}}}, {"people": {"a": {"word": ""}}}):
        assert not check(bad)
        with pytest.raises(CastError):
            cast_of(bad)


@given(st.text(alphabet="ab@ann \\<lora:>BREAK,\n", max_size=60))
def test_any_text_is_expanded_or_refused(text):
    try:
        found = expand(text, CAST)
    except PromptError as error:
        assert 0 <= error.offset <= len(text)
    else:
        assert all(text[m.start] == "@" for m in found.mentions)


def test_a_part_of_a_cast_is_a_cast():
    part = cast_of(part_of(CAST, ["duo", "ann", "bob"]))
    assert expand("@duo", part).text == expand("@duo", CAST).text
    assert set(part.members) == {"duo", "ann", "bob"}
