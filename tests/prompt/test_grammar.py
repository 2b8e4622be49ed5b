import pytest
from ensemble_portraits.ensemble.prompt.errors import PromptError
from ensemble_portraits.ensemble.prompt.grammar import parse_break, parse_negative
from hypothesis import given
from hypothesis import strategies as st

DOCUMENTED = (
    "Glamour aristocrat party 2girl BREAK Zeiss Canon Mark D5, wallpaper, photorealistic, detailed "
    "skin BREAK (ohwx woman) <lora:849330:1> BREAK (ohwx woman) <lora:861629:1>"
)


def test_the_documented_prompt():
    prompt = parse_break(DOCUMENTED)
    common = "Zeiss Canon Mark D5, wallpaper, photorealistic, detailed skin"
    assert prompt.has_break
    assert prompt.base_text == f"Glamour aristocrat party 2girl, {common}"
    assert prompt.person_texts == (f"(ohwx woman), {common}",) * 2
    assert [tag.name for person in prompt.people for tag in person.loras] == ["849330", "861629"]
    assert prompt.shared_loras == ()


def test_text_without_break_is_a_plain_prompt():
    prompt = parse_break("a woman <lora:ann:0.5> in a garden")
    assert not prompt.has_break and prompt.people == () and prompt.person_texts == ()
    assert prompt.base_text == "a woman in a garden"
    assert [tag.name for tag in prompt.shared_loras] == ["ann"]


@pytest.mark.parametrize(
    ("text", "base", "people"),
    [
        ("s BREAK c BREAK p", "s, c", ("p, c",)),
        ("s BREAK BREAK p1 BREAK p2", "s", ("p1", "p2")),
        ("BREAK BREAK p1 BREAK p2", "", ("p1", "p2")),
        ("BREAK c BREAK BREAK p2", "c", ("c", "p2, c")),
        ("s BREAK c", "s, c", ()),
        ("s BREAK c BREAK", "s, c", ("c",)),
        ("s\nBREAK\nc\nBREAK\np\n", "s, c", ("p, c",)),
        ("s,BREAK,c,BREAK p,", "s, c", ("p, c",)),
        (
            "break BREAKING COFFEE-BREAK Break BREAK_1",
            "break BREAKING COFFEE-BREAK Break BREAK_1",
            (),
        ),
    ],
)
def test_parts_by_position(text, base, people):
    prompt = parse_break(text)
    assert prompt.base_text == base
    assert prompt.person_texts == people


def test_parts_and_tags_know_where_they_stand():
    text = "scene BREAK all BREAK a <lora:ann:1> woman BREAK <lora:BREAK:1> b"
    prompt = parse_break(text)
    for part in (prompt.base, prompt.common, *prompt.people):
        for tag in part.loras:
            assert part.start <= tag.start < tag.end <= part.end
            assert text[tag.start : tag.end].startswith("<lora:")
    assert [text[p.start : p.end].strip() for p in prompt.people] == [
        "a <lora:ann:1> woman",
        "<lora:BREAK:1> b",
    ]
    assert prompt.people[1].loras[0].name == "BREAK" and prompt.people[1].text == "b"


def test_loras_of_base_and_common_are_shared():
    prompt = parse_break("s <lora:a:1> BREAK c <lora:b:1> BREAK p <lora:c:1>")
    assert [tag.name for tag in prompt.shared_loras] == ["a", "b"]
    assert [tag.name for tag in prompt.people[0].loras] == ["c"]


def test_a_lora_in_the_common_slot_of_a_one_break_prompt_explains_the_empty_slot():
    with pytest.raises(PromptError, match="empty common part") as caught:
        parse_break("scene BREAK a woman <lora:ann:1>")
    assert caught.value.offset == len("scene BREAK a woman ")


@pytest.mark.parametrize("text", ["BREAK", " BREAK\n", "BREAK BREAK", "BREAK BREAK BREAK"])
def test_nothing_but_break_is_an_error(text):
    with pytest.raises(PromptError, match="nothing but BREAK"):
        parse_break(text)


def test_an_empty_prompt_is_a_plain_prompt():
    assert parse_break("").base_text == ""


def test_one_negative_is_everyones():
    negative = parse_negative("hat, text", 2)
    assert negative.base_text == "hat, text"
    assert negative.person_texts == ("hat, text",) * 2


def test_a_negative_is_split_like_a_prompt():
    negative = parse_negative("a BREAK b BREAK p1 BREAK p2", 2)
    assert negative.base_text == "a, b"
    assert negative.person_texts == ("p1, b", "p2, b")


def test_a_person_without_a_negative_of_their_own_gets_the_scenes():
    negative = parse_negative("a BREAK b BREAK p1", 3)
    assert negative.person_texts == ("p1, b", "a, b", "a, b")


def test_a_negative_for_more_people_than_there_are_is_an_error():
    with pytest.raises(PromptError, match="parts for 2 people and the prompt has 1"):
        parse_negative("a BREAK BREAK p1 BREAK p2", 1)


def test_a_lora_in_the_negative_is_an_error():
    with pytest.raises(PromptError, match="negative"):
        parse_negative("hat <lora:ann:1>", 1)


pieces = st.text(alphabet=st.sampled_from("ab (),:1.\n-"), max_size=12)


@given(
    st.lists(pieces, min_size=3, max_size=8).filter(
        lambda parts: any(part.strip(" ,\n") for part in parts)
    )
)
def test_parts_come_back_in_order_whatever_is_in_them(parts):
    prompt = parse_break("BREAK".join(f" {part} " for part in parts))
    found = [prompt.base, prompt.common, *prompt.people]
    assert [part.text for part in found] == [part.strip(" ,\n") for part in parts]


grammar_noise = st.lists(
    st.sampled_from(["BREAK", " ", "\n", "<lora:", "a", ":1", ">", ":", "(", ",", "<", "break"])
    | st.text(max_size=3)
).map("".join)


@given(grammar_noise | st.text())
def test_arbitrary_text_gives_a_prompt_or_a_prompt_error(text):
    for parse in (parse_break, lambda negative: parse_negative(negative, 2)):
        try:
            parse(text)
        except PromptError as error:
            assert 0 <= error.offset <= len(text)
