import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.flags import FlagKind, take_flags
from hypothesis import given
from hypothesis import strategies as st

SPEC = {
    "mask_prompt": FlagKind.TEXT,
    "mask_negative": FlagKind.TEXT,
    "mask_invert": FlagKind.SWITCH,
    "mask_dilate": FlagKind.AMOUNT,
    "hires_denoising_strength": FlagKind.NUMBER,
}


def test_the_documented_flags():
    text = (
        "octane rende --mask_prompt foreground --mask_negative clothes --mask_invert "
        "--mask_dilate -20 --hires_denoising_strength 0.2"
    )
    rest, flags = take_flags(text, SPEC)
    assert rest == "octane rende"
    assert [(flag.name, flag.value) for flag in flags] == [
        ("mask_prompt", "foreground"),
        ("mask_negative", "clothes"),
        ("mask_invert", ""),
        ("mask_dilate", "-20"),
        ("hires_denoising_strength", "0.2"),
    ]
    assert flags[2].on and flags[3].number == -20 and not flags[3].percent
    assert flags[4].number == 0.2
    for flag in flags:
        assert text[flag.start : flag.end].startswith(f"--{flag.name}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--mask_prompt windows door", ("windows", "door")),
        ('--mask_prompt "red dress" hat', ("red dress", "hat")),
        ("--mask_prompt 'red dress' man's hat", ("red dress", "man's", "hat")),
        ("--mask_prompt=hat", ("hat",)),
        ('--mask_prompt="red -- dress --mask_invert"', ("red -- dress --mask_invert",)),
        ("--mask-prompt hat", ("hat",)),
        ("--MASK_PROMPT hat\n", ("hat",)),
        ("--mask_prompt hat -- dashed", ("hat", "--", "dashed")),
        ("--mask_prompt BREAKFAST hat", ("BREAKFAST", "hat")),
        ("--mask_prompt day--night", ("day--night",)),
    ],
)
def test_values_of_several_words(text, words):
    rest, (flag,) = take_flags(text, SPEC)
    assert rest == ""
    assert flag.words == words


@pytest.mark.parametrize(("value", "on"), [("", True), ("true", True), ("no", False), ("0", False)])
def test_a_switch(value, on):
    assert take_flags(f"a --mask_invert {value}", SPEC)[1][0].on is on


def test_a_percentage():
    (flag,) = take_flags("--mask_dilate -20.5%", SPEC)[1]
    assert flag.percent and flag.number == -20.5


def test_a_flag_inside_a_part_ends_at_break():
    rest, (flag,) = take_flags("scene --mask_prompt hat BREAK all BREAK person", SPEC)
    assert rest == "scene BREAK all BREAK person"
    assert flag.words == ("hat",)


@pytest.mark.parametrize("space", [" ", ""])
@pytest.mark.parametrize("words", ["foreground", '"foreground"'])
def test_a_tag_behind_words_is_none_of_them(words, space):
    text = f"a park --mask_prompt {words}{space}<lora:x:1> at night --mask_invert <badhandv4>"
    rest, (mask, invert) = take_flags(text, SPEC)
    assert rest == "a park <lora:x:1> at night <badhandv4>"
    assert mask.words == ("foreground",)
    assert invert.on


def test_a_flag_straight_behind_a_value_is_a_flag():
    rest, flags = take_flags("a --mask_prompt hat--mask_dilate -20%--mask_invert", SPEC)
    assert rest == "a"
    assert [(flag.name, flag.value) for flag in flags] == [
        ("mask_prompt", "hat"),
        ("mask_dilate", "-20%"),
        ("mask_invert", ""),
    ]


@pytest.mark.parametrize("text", ["day--night", "a -- b", "a --1", "--", "well-known", "a —mask"])
def test_dashes_in_prose_are_no_flags(text):
    assert take_flags(text, SPEC) == (text, ())


@pytest.mark.parametrize(
    ("text", "words", "offset"),
    [
        ("a --mask_prmpt hat", "did you mean --mask_prompt", 2),
        ("a --zzz", "known: mask_prompt", 2),
        ("a --mask_invert woman", "nothing, or true or false, not 'woman'", 2),
        ("a --mask_dilate", "one number or percentage, not ''", 2),
        ("a --mask_dilate 5 6", "one number or percentage, not '5 6'", 2),
        ("a --mask_dilate nan", "one number or percentage", 2),
        ("a --hires_denoising_strength 5%", "takes one number, not '5%'", 2),
        ("a --mask_prompt", "takes words", 2),
        ("--mask_prompt a --mask_prompt b", "given twice", 16),
        ('--mask_prompt "red dress', "quote is never closed", 14),
    ],
)
def test_a_bad_flag_is_an_error_that_says_where(text, words, offset):
    with pytest.raises(PromptError, match=words) as caught:
        take_flags(text, SPEC)
    assert caught.value.offset == offset


noise = st.lists(
    st.sampled_from(
        ["--mask_prompt", "--mask_invert", "--x", " ", "=", '"', "'", "a", "BREAK", "\n", "5%"]
    )
).map("".join)


@given(noise | st.text())
def test_arbitrary_text_gives_flags_or_a_prompt_error(text):
    try:
        rest, flags = take_flags(text, SPEC)
    except PromptError as error:
        assert 0 <= error.offset <= len(text)
        return
    assert len(rest) <= len(text)
    assert all(flag.name in SPEC for flag in flags)
