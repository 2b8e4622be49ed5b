"""Where people stand, in words: against what one would say of each picture."""

import pytest
from ensemble_portraits.ensemble.prompt.emphasis import Weights, as_text, parse_a1111
from ensemble_portraits.ensemble.prompt.places import completed, place_names, place_sentences
from hypothesis import given
from hypothesis import strategies as st


def row(*xs: float, y: float = 0.5) -> list[tuple[float, float]]:
    return [(x, y) for x in xs]


def column(*ys: float) -> list[tuple[float, float]]:
    return [(0.5, y) for y in ys]


@pytest.mark.parametrize(("centres", "names"), [
    (row(0.5), ["in the middle"]),
    (row(0.2), ["on the left"]),
    (row(0.8), ["on the right"]),
    (row(0.25, 0.75), ["on the left", "on the right"]),
    (row(0.75, 0.25), ["on the right", "on the left"]),
    (row(0.9, 0.1, 0.5), ["on the right", "on the left", "in the middle"]),
    (row(0.1, 0.3, 0.6, 0.9), ["first from the left", "second from the left",
                               "third from the left", "fourth from the left"]),
    (column(0.8, 0.2), ["at the bottom", "at the top"]),
    (column(0.2, 0.5, 0.8), ["at the top", "in the middle", "at the bottom"]),
    (column(0.9, 0.1, 0.3, 0.6), ["fourth from the top", "first from the top",
                                  "second from the top", "third from the top"]),
    # A child beside grown-ups, or a step back: still one row.
    ([(0.2, 0.45), (0.5, 0.6), (0.8, 0.5)], ["on the left", "in the middle", "on the right"]),
    # Apart both ways.
    ([(0.25, 0.25), (0.75, 0.75)], ["at the top", "at the bottom"]),
    ([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)],
     ["at the top left", "at the top right", "at the bottom left", "at the bottom right"]),
    ([(0.5, 0.2), (0.8, 0.8), (0.2, 0.8), (0.5, 0.8)],
     ["at the top", "at the bottom right", "at the bottom left", "at the bottom in the middle"]),
    ([*row(0.1, 0.3, 0.6, 0.9, y=0.2), (0.5, 0.9)],
     [*(f"at the top, {n} from the left" for n in ("first", "second", "third", "fourth")),
      "at the bottom"]),
    (row(0.5, 0.5), []),
    ([(0.5, 0.5), (0.2, 0.5), (0.51, 0.49)], []),
    ([], []),
])  # fmt: skip
def test_each_place_has_its_name(centres, names):
    assert place_names(centres) == names


def test_more_than_ten_are_counted():
    names = place_names(row(*(i / 12 for i in range(12))))
    assert names[9:] == [
        "tenth from the left",
        "number 11 from the left",
        "number 12 from the left",
    ]


POSITIONS = st.tuples(*[st.integers(0, 20).map(lambda n: n / 20)] * 2)


@given(st.lists(POSITIONS, unique=True, max_size=9))
def test_no_two_people_have_one_name_and_left_is_left(centres):
    names = place_names(centres)
    assert len(set(names)) == len(centres)
    by_name = dict(zip(names, centres, strict=True))
    for axis, first, last in (
        (0, "on the left", "on the right"),
        (1, "at the top", "at the bottom"),
    ):
        if {first, last} <= set(by_name):
            assert by_name[first][axis] <= by_name[last][axis]


def test_sentences_are_of_those_who_have_words_and_a_place():
    words = ["a woman,\n in red,", "", "a man!", "a ghost"]
    centres = [*row(0.1, 0.4, 0.9), None]
    assert place_sentences(words, centres) == "On the left: a woman, in red. On the right: a man!"
    assert place_sentences(["a", "b"], row(0.5, 0.5)) == ""
    assert place_sentences(["a", "b"], [None, None]) == ""


@pytest.mark.parametrize(("scene", "wanted"), [
    ("a park", "a park. On the left: a."),
    ("a park, ", "a park. On the left: a."),
    ("A park.", "A park. On the left: a."),
    ("", "On the left: a."),
])  # fmt: skip
def test_they_stand_behind_the_scene(scene, wanted):
    assert completed(scene, "On the left: a.") == wanted
    assert completed("a park", "") == "a park"


@given(st.text(alphabet="ab()[]\\:1. ,", max_size=30))
def test_a_persons_brackets_do_not_become_emphasis_again(text):
    assert parse_a1111(as_text(text, Weights.A1111)) == [(text, 1.0)]
    assert as_text(text, Weights.OFF) == text
