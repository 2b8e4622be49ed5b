import pytest
from ensemble_portraits.ensemble.lora.choose import (
    OnMissing,
    check,
    choose,
    read_names,
    read_stack,
    read_strengths,
)
from ensemble_portraits.ensemble.lora.names import AmbiguousNameError, UnknownNameError
from ensemble_portraits.ensemble.prompt.errors import PromptError
from hypothesis import given
from hypothesis import strategies as st


def chosen(*inputs, **policy):
    found = choose(*inputs, **policy)
    return [(c.file.name, c.weight, c.clip_weight, c.source) for c in found.choices]


def test_the_hosted_form():
    assert chosen("ganyu-lora,more_details", "1,0.6", "") == [
        ("ganyu-lora.safetensors", 1.0, 1.0, "loras"),
        ("more_details.safetensors", 0.6, 0.6, "loras"),
    ]


def test_tags_come_after_the_list_and_out_of_the_prompt():
    found = choose("ganyu-lora", "-0.5", "a <lora:more_details:0.8:0.3> woman", OnMissing.ERROR)
    assert [(c.file.name, c.weight, c.clip_weight, c.source) for c in found.choices] == [
        ("ganyu-lora.safetensors", -0.5, -0.5, "loras"),
        ("more_details.safetensors", 0.8, 0.3, "prompt"),
    ]
    assert found.prompt == "a woman"


def test_ids_of_the_alias_file_are_names():
    names = [name.replace("\\", "/") for name, *_ in chosen("849330", "", "<lora:861629:1>")]
    assert names == ["people/ohwx_first.safetensors", "people/ohwx_second.safetensors"]


def test_nothing_asked_is_nothing_chosen():
    found = choose("", "", "a woman")
    assert found.choices == () and found.prompt == "a woman"


@pytest.mark.parametrize(
    ("loras", "names"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ('"a, b",c', ["a, b", "c"]),
        ('a, "b, c"', ["a", "b, c"]),
        ("a\n,b", ["a", "b"]),
        ("a b,c", ["a b", "c"]),
        ("", []),
        ("  ", []),
    ],
)
def test_names(loras, names):
    assert read_names(loras) == names


@pytest.mark.parametrize(
    ("loras", "words"),
    [
        ("a,,b", "entry 2 is empty"),
        ("a,", "entry 2 is empty"),
        (",", "entry 1 is empty"),
        ('"a', "quote"),
        ('"a"b', "quote"),
        ("<lora:a:1>", "input 'prompt'"),
        ("x" * 200_000, "'loras'"),
    ],
)
def test_names_that_are_a_mistake(loras, words):
    with pytest.raises(ValueError, match=words):
        read_names(loras)


@given(st.lists(st.text(st.characters(exclude_characters='"\r\n\0'), min_size=1).map(str.strip)))
def test_quoted_names_are_read_back(names):
    names = [name for name in names if name and not name.lower().startswith("<lora:")]
    if any("<lora:" in name.lower() for name in names):
        return
    assert read_names(",".join(f'"{name}"' for name in names)) == names


@given(st.text())
def test_any_text_gives_names_or_a_value_error(text):
    try:
        names = read_names(text)
    except ValueError:
        return
    assert all(names)


@pytest.mark.parametrize(
    ("strengths", "count", "values"),
    [("", 3, [1, 1, 1]), ("0.5", 3, [0.5] * 3), ("1,0.6", 2, [1, 0.6]), (" -1 , .5", 2, [-1, 0.5])],
)
def test_strengths(strengths, count, values):
    assert read_strengths(strengths, count) == [(value, value) for value in values]


def test_a_strength_of_its_own_for_the_text_encoder():
    assert read_strengths("1 : 0.5, 0:2,.3", 3) == [(1, 0.5), (0, 2), (0.3, 0.3)]
    (asked,) = read_stack("ann", "1:0.5", "").requests
    assert (asked.weight, asked.clip_weight) == (1, 0.5)


@pytest.mark.parametrize(
    ("strengths", "count", "words"),
    [
        ("1,0.6", 3, "2 numbers for 3 names"),
        ("1,0.6", 1, "2 numbers for 1 names"),
        ("1,1", 0, "2 numbers for 0 names"),
        ("nan", 1, "entry 1: 'nan'"),
        ("1,inf", 2, "entry 2: 'inf'"),
        ("1,,1", 3, "entry 2: ''"),
        ("1;2", 2, "entry 1: '1;2'"),
        ("1:2:3", 1, "entry 1: '1:2:3'"),
        ("1:", 1, "entry 1: '1:'"),
    ],
)
def test_strengths_that_are_a_mistake(strengths, count, words):
    with pytest.raises(ValueError, match=words):
        read_strengths(strengths, count)


BAD = [
    (("nobody", "", ""), UnknownNameError, "Input 'loras': LoRA 'nobody' is no file"),
    (("twin", "", ""), AmbiguousNameError, "Input 'loras': LoRA 'twin' means 2 files"),
    (("", "", "<lora:nobody:1>"), UnknownNameError, "Input 'prompt': LoRA 'nobody' is no file"),
    (("", "", "<lora::1>"), PromptError, "has no name"),
    (("", "", "<lora:peft:nan>"), PromptError, "not a finite number"),
    (("peft", "1,2", ""), ValueError, "2 numbers for 1 names"),
    (("peft", "nan", ""), ValueError, "not a finite number"),
]


@pytest.mark.parametrize(("inputs", "kind", "words"), BAD)
def test_a_mistake_reads_the_same_when_queued_and_when_run(inputs, kind, words):
    with pytest.raises(kind) as caught:
        choose(*inputs)
    assert words in str(caught.value)
    assert check(*inputs, "error") == str(caught.value)


@pytest.mark.parametrize(
    "inputs",
    [
        ("ganyu-lora", "1", "x", "error"),
        ("nobody", "1", "x <lora:twin:1>", "skip"),
        # None is linked in: what is not known yet is not judged.
        (None, "1,2", None, "error"),
        ("ganyu-lora", None, None, None),
        (None, None, None, None),
        ("nobody", None, None, None),
    ],
)
def test_what_is_in_order_or_not_known_passes(inputs):
    assert check(*inputs) is True


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ((None, "1,nan", None, "error"), "'nan'"),
        ((None, None, "<lora:nobody:1>", "error"), "'nobody'"),
        (("nobody", None, None, "error"), "'nobody'"),
        (("peft", "1,2", None, "error"), "2 numbers"),
        (("peft", "1", "", "maybe"), "'maybe'; it takes 'error' or 'skip'"),
    ],
)
def test_what_is_known_to_be_wrong_is_told_beside_what_is_linked_in(inputs, words):
    assert words in str(check(*inputs))


def test_skipping_tells_what_and_why(caplog):
    found = choose("nobody,peft", "1,0.5", "a <lora:twin:1> b", OnMissing.SKIP)
    assert [(c.file.name, c.weight) for c in found.choices] == [("peft.safetensors", 0.5)]
    assert [skipped.name for skipped in found.skipped] == ["nobody", "twin"]
    assert "is no file" in found.skipped[0].reason and "means 2 files" in found.skipped[1].reason
    assert found.prompt == "a b"
    assert "nobody" in caplog.text and "twin" in caplog.text
