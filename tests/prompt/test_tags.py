import math

import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.tags import LoraTag, parse_number, take_tags
from hypothesis import given
from hypothesis import strategies as st


def only(text: str) -> LoraTag:
    (tag,) = take_tags(text)[1]
    return tag


@pytest.mark.parametrize(
    ("text", "name", "weight", "clip_weight"),
    [
        ("<lora:ann>", "ann", 1.0, 1.0),
        ("<lora:849330:1>", "849330", 1.0, 1.0),
        ("<lora:ann:0.6>", "ann", 0.6, 0.6),
        ("<lora:ann:0.6:0.2>", "ann", 0.6, 0.2),
        ("<lora:ann:-1:.5>", "ann", -1.0, 0.5),
        ("<lora: people/ann b.v2.safetensors : 1e-1 >", "people/ann b.v2.safetensors", 0.1, 0.1),
        ("<LORA:people\\ann:+2>", "people\\ann", 2.0, 2.0),
    ],
)
def test_a_tag_is_read(text, name, weight, clip_weight):
    tag = only(f"a {text} b")
    assert (tag.name, tag.weight, tag.clip_weight) == (name, weight, clip_weight)
    assert (tag.start, tag.end) == (2, 2 + len(text))


@pytest.mark.parametrize(
    ("text", "words", "offset"),
    [
        ("x <lora::1>", "has no name", 2),
        ("x <lora:>", "has no name", 2),
        ("x <lora: :1>", "has no name", 2),
        ("x <lora:ann:nan>", "'nan' is not a finite number", 2),
        ("x <lora:ann:1:inf>", "'inf' is not a finite number", 2),
        ("x <lora:ann:1e999>", "'1e999' is not a finite number", 2),
        ("x <lora:ann:1_0>", "'1_0' is not a finite number", 2),
        ("x <lora:ann:>", "'' is not a finite number", 2),
        ("x <lora:ann:1:2:3>", "more than", 2),
        ("x\ny <lora:ann:1", "not closed", 4),
        ("x <lora:ann <lora:bob:1>", "not closed", 2),
    ],
)
def test_a_bad_tag_is_an_error_that_says_where(text, words, offset):
    with pytest.raises(PromptError, match=words) as caught:
        take_tags(text)
    assert caught.value.offset == offset
    assert f"offset {offset}" in str(caught.value)


def test_an_error_counts_lines_and_columns_as_an_editor_does():
    with pytest.raises(PromptError, match=r"line 3, column 4, offset 9\)"):
        take_tags("a\nbcd\nxx <lora::1>")


@pytest.mark.parametrize(
    ("text", "tidy"),
    [
        ("a <lora:x:1> b", "a b"),
        ("a, <lora:x:1>, b", "a, b"),
        ("a,<lora:x:1>,b", "a, b"),
        ("a <lora:x:1>, b", "a, b"),
        ("a, <lora:x:1>", "a"),
        ("<lora:x:1>, a", "a"),
        ("<lora:x:1><lora:y:1> a", "a"),
        ("a, <lora:x:1>, <lora:y:1>, b", "a, b"),
        ("a <lora:x:1> <lora:y:1> b", "a b"),
        ("a\n<lora:x:1>\nb", "a\nb"),
        ("a,\n<lora:x:1>\nb", "a,\nb"),
        ("a<lora:x:1>b", "ab"),
        ("<lora:x:1>", ""),
        ("no  tag,, here", "no  tag,, here"),
        ("left  alone,, <lora:x:1> b", "left  alone, b"),
    ],
)
def test_taking_a_tag_out_leaves_tidy_text(text, tidy):
    assert take_tags(text)[0] == tidy


words = st.text(st.characters(exclude_characters="<>", exclude_categories=("Cs",)), max_size=20)
names = words.map(str.strip).filter(lambda name: name and ":" not in name)
weights = st.floats(-10, 10).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(words, names, weights, weights)), words)
def test_written_tags_are_read_back(pieces, tail):
    text = "".join(f"{before}<lora:{n}:{w}:{c}>" for before, n, w, c in pieces) + tail
    rest, tags = take_tags(text)
    assert [(t.name, t.weight, t.clip_weight) for t in tags] == [p[1:] for p in pieces]
    assert all(text[t.start : t.end].startswith("<lora:") for t in tags)
    assert "<lora" not in rest
    # Every word survives, in order; only spaces and commas next to tags may go.
    kept = "".join(before for before, *_ in pieces) + tail
    drop = str.maketrans("", "", ", \t\r\n")
    assert rest.translate(drop) == kept.translate(drop)


@given(st.text(alphabet=st.sampled_from("<lora:>12.,a \n-eE")))
def test_arbitrary_text_gives_tags_or_a_prompt_error(text):
    try:
        _, tags = take_tags(text)
    except PromptError as error:
        assert 0 <= error.offset <= len(text)
        return
    assert all(math.isfinite(tag.weight) and tag.name for tag in tags)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_python_writes_it_is_read(value):
    assert parse_number(repr(value)) == value


@pytest.mark.parametrize(
    "field", ["", "nan", "inf", "-inf", "1_000", "0x1", "1,5", "\u0661", "1 2", "--1"]
)
def test_other_spellings_are_no_numbers(field):
    assert parse_number(field) is None
