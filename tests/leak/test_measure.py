"""The meter's figures, on pictures composed of people who are known, and on matrices by hand."""

import composed
import numpy as np
import pytest
from ensemble_portraits.ensemble.faces.match import cheapest
from ensemble_portraits.ensemble.leak.measure import id_conf, measure

PEOPLE = (0, 1, 2)
HALF = 0.5


def test_composed_people_give_the_known_matrix():
    for seed in range(4):
        table = composed.similarity(composed.scene(seed, PEOPLE), PEOPLE)
        assert np.abs(table - np.eye(3)).max() < 0.25
        found = measure(table, (0, 1, 2), HALF)
        assert (found.right_share, found.scr, found.swapped) == (1.0, 0.0, ())
        assert found.id_conf > 0.95 and found.similarity > 0.75
        assert found.count_right and found.missing == ()


def test_two_swapped_people_are_found():
    """Painted at each other's place; the third is where they should be."""
    table = composed.similarity(composed.scene(5, (1, 0, 2)), PEOPLE)
    found = measure(table, (0, 1, 2), HALF)
    assert found.swapped == ((0, 1),)
    assert [p.right for p in found.people] == [False, False, True]
    assert [p.looks_like for p in found.people] == [1, 0, 2]
    # Benchmarks without places see no swap.
    assert found.matched > 0.75 and found.similarity < 0.5
    assert found.right_share == pytest.approx(1 / 3) and found.scr == pytest.approx(2 / 3)
    # They are clearly somebody, and everybody is there.
    assert found.id_conf > 0.95 and found.count_right


def test_a_missing_person_lowers_the_count_and_nothing_else():
    picture = composed.scene(7, PEOPLE)
    whole = measure(composed.similarity(picture, PEOPLE), (0, 1, 2), HALF)
    for gone in range(3):
        left = tuple(p for p in range(3) if p != gone)
        found = measure(composed.similarity(picture, PEOPLE, left), left, HALF)
        assert (found.faces, found.count_right, found.missing) == (2, False, (gone,))
        assert (found.right_share, found.scr, found.swapped) == (1.0, 0.0, ())
        assert found.id_conf == pytest.approx(whole.id_conf)
        for person in left:
            assert found.people[person].own == whole.people[person].own


def test_a_stranger_is_counted_and_nobody():
    table = composed.similarity(composed.scene(3, (0, 5, 1)), (0, 1))
    found = measure(table, (0, None, 1), HALF)
    assert (found.faces, found.asked, found.count_right) == (3, 2, False)
    assert found.right_share == 1.0 and found.missing == ()


def test_a_face_that_is_half_somebody_else():
    """Person 1's face is 0.6 of itself and 0.5 of person 2."""
    found = measure(np.array([[0.6, 0.5], [0.0, 1.0]]), (0, 1), 0.7)
    first, second = found.people
    assert (first.own, first.other, second.other) == (0.6, 0.5, 0.0)
    assert (first.id_conf, second.id_conf) == (1.0, 0.5)
    assert found.id_conf == 0.75 and found.scr == 0.5 and found.right_share == 1.0


def test_faces_are_matched_for_all_at_once_and_judged_by_themselves():
    """0.9 + 0.1 is less than 0.8 + 0.8. The face at person 2's place is still more like person 1."""
    found = measure(np.array([[0.9, 0.8], [0.8, 0.1]]), (1, 0), 0.0)
    assert found.matched == pytest.approx(0.8)
    assert [p.right for p in found.people] == [True, False]
    assert found.people[1].looks_like == 0 and found.swapped == ()


def test_of_two_faces_of_one_person_one_is_right():
    """The commonest leak: everybody is the same person."""
    table = composed.similarity(composed.scene(6, (0, 0)), (0, 1))
    found = measure(table, (0, 1), HALF)
    assert [p.right for p in found.people] == [True, False]
    assert found.right_share == 0.5 and found.people[1].looks_like == 0
    assert found.id_conf < 0.2 and found.scr == 0.5 and found.swapped == ()


def test_a_face_like_nobody_is_not_right():
    found = measure(np.zeros((2, 2)), (0, 1), HALF)
    assert found.right_share == 0.0 and [p.looks_like for p in found.people] == [None, None]


def test_nobody_and_one_person():
    nobody = measure(np.zeros((0, 2)), (), HALF)
    assert (nobody.faces, nobody.missing) == (0, (0, 1))
    assert nobody.right_share is nobody.id_conf is nobody.scr is nobody.similarity is None
    one = measure(np.array([[0.9]]), (0,), HALF)
    assert one.id_conf is None and one.people[0].other is None
    assert (one.right_share, one.scr, one.count_right) == (1.0, 0.0, True)


@pytest.mark.parametrize(
    ("similarities", "wanted"),
    [
        ([0.8, 0.2], 0.75),
        ([0.2, 0.8, 0.4], 0.5),
        ([0.5, 0.5], 0.0),
        ([0.5, -0.3], 1.0),  # at most 1
        ([0.0, -0.2], 0.0),  # nobody looks like the person
        ([-0.1, -0.2], 0.0),
        ([0.9], None),
        ([], None),
    ],
)
def test_id_conf_by_hand(similarities, wanted):
    found = id_conf(np.array(similarities))
    assert found == (wanted if wanted is None else pytest.approx(wanted))


def test_places_must_be_people_once_each():
    for places in ((0,), (0, 0), (0, 2), (0, -1)):
        with pytest.raises(ValueError, match="places is"):
            measure(np.eye(2), places, HALF)


def test_the_assignment_is_the_cheapest_of_all():
    """Against every permutation, also where pairs are impossible."""
    from itertools import permutations

    rng = np.random.default_rng(3)
    for _ in range(30):
        costs = rng.normal(size=(4, 4)) * 5
        best = min(sum(costs[r, c] for r, c in enumerate(p)) for p in permutations(range(4)))
        assert sum(costs[pair] for pair in cheapest(costs)) == pytest.approx(best)
        costs[0], costs[1, 1:] = np.inf, np.inf
        pairs = cheapest(costs)
        assert len(pairs) == 3 and (1, 0) in pairs
    assert cheapest(np.full((2, 3), np.inf)) == [] == cheapest(np.zeros((0, 3)))
