"""Boxes, tiles and the matching of faces to people, by their properties."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from ensemble_portraits.ensemble.faces.boxes import Face, distinct, is_cut, tiles
from ensemble_portraits.ensemble.faces.match import REACH, assign, face_of_head, match
from ensemble_portraits.ensemble.regions.rect import Rect, Unit
from hypothesis import given, settings
from hypothesis import strategies as st

SIDES = st.integers(40, 900)


@given(SIDES, SIDES, st.integers(64, 400), st.data())
@settings(deadline=None, max_examples=60)
def test_a_small_face_lies_whole_in_a_small_tile(height, width, smallest, data):
    """Anywhere in the picture a face up to a third of the smallest tile is whole in one of them."""
    side = data.draw(st.integers(8, max(8, min(smallest // 3 - 2, height, width))))
    left, top = data.draw(st.integers(0, width - side)), data.draw(st.integers(0, height - side))
    face = Rect.sized(left, top, side, side, Unit.PIXELS)
    whole = [
        t
        for t in tiles(height, width, smallest)
        if t.left <= left and left + side <= t.right and t.top <= top and top + side <= t.bottom
    ]
    assert whole
    assert min(t.right - t.left for t in whole) <= max(smallest, 2)
    if max(height, width) <= smallest:
        assert not is_cut(face, whole[0], height, width)


def test_of_one_faces_boxes_the_surest_stays():
    faces = [
        Face.at(0, 0, 100, 100, 0.7),
        Face.at(6, 4, 104, 102, 0.9),
        Face.at(300, 0, 380, 90, 0.5),
    ]
    inner = Face.at(30, 30, 60, 60, 0.8)
    assert distinct([*faces, inner]) == [faces[1], faces[2]]


def table(faces: np.ndarray, heads: np.ndarray) -> np.ndarray:
    return np.linalg.norm(faces[:, None] - heads[None], axis=-1)


@given(st.integers(0, 5), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_permuting_faces_or_people_permutes_the_result(n_faces, n_people, random):
    rng = np.random.default_rng(random.randrange(2**32))
    costs = table(rng.uniform(0, 3, (n_faces, 2)), rng.uniform(0, 3, (n_people, 2)))
    owners = match(costs)
    order = rng.permutation(n_faces)
    assert match(costs[order]) == [owners[i] for i in order]
    order = rng.permutation(n_people)
    new_name = {old: new for new, old in enumerate(order.tolist())}
    assert match(costs[:, order]) == [None if o is None else new_name[o] for o in owners]


@given(st.integers(1, 6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_a_missed_face_does_not_shift_the_others(count, random):
    """Each face has one nearest head: removing any leaves the others' people as they were."""
    rng = np.random.default_rng(random.randrange(2**32))
    heads = rng.permutation(36)[:count]
    heads = np.stack([heads % 6, heads // 6], 1) * 3.0
    faces = heads + rng.uniform(-1, 1, heads.shape)
    order = rng.permutation(count)
    owners = match(table(faces[order], heads))
    assert owners == order.tolist()
    gone = rng.integers(count)
    assert match(table(np.delete(faces[order], gone, 0), heads)) == np.delete(order, gone).tolist()


@given(st.integers(0, 6), st.integers(0, 6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_nobody_twice_and_nothing_beyond_reach(n_faces, n_people, random):
    rng = np.random.default_rng(random.randrange(2**32))
    costs = table(rng.uniform(0, 5, (n_faces, 2)), rng.uniform(0, 5, (n_people, 2)))
    owners = match(costs)
    given_away = [o for o in owners if o is not None]
    assert len(owners) == n_faces and len(set(given_away)) == len(given_away)
    assert all(costs[f, o] <= REACH for f, o in enumerate(owners) if o is not None)
    left = set(range(n_people)) - set(given_away)
    lonely = [f for f, o in enumerate(owners) if o is None]
    assert not any(costs[f, p] <= REACH for f in lonely for p in left)


def test_the_clear_pair_wins_over_the_sum():
    """Hungarian alone would give the near face away to serve a stray one."""
    costs = np.array([[0.1, 1.0], [0.9, 9.0]])
    assert match(costs, reach=1.5) == [0, None]


def people(heads: list[Rect | None], width=400):
    patcher = tiny.model()
    masks = tiny.columns(len(heads), 64, width // 4)
    made = tiny.people(patcher, [{}] * len(heads), masks)
    members = tuple(replace(p, head=h) for p, h in zip(made.people, heads, strict=True))
    return replace(made, people=members)


@pytest.fixture(scope="module")
def three():
    return people([Rect.fractions(0.02, 0.1, 0.22, 0.3), None, Rect.fractions(0.7, 0.1, 0.9, 0.3)])


def test_heads_and_regions_tell_who(three):
    left, right = (face_of_head(three.people[i].head, 400, 300) for i in (0, 2))
    middle = Face.at(180, 40, 230, 100)
    assert assign([right, middle, left], three, 400, 300) == [2, 1, 0]
    assert assign([right], three, 400, 300) == [2]
    stranger = Face.at(350, 240, 380, 280)
    assert assign([right, stranger], three, 400, 300) == [2, None]


def test_more_faces_than_people_and_the_reverse():
    pair = people([None, None])
    faces = [Face.at(x, 50, x + 30, 90) for x in (80, 300, 180)]
    owners = assign(faces, pair, 400, 300)
    assert owners[:2] == [0, 1] and owners[2] is None
    assert assign([faces[1]], pair, 400, 300) == [1]
    assert assign([], pair, 400, 300) == []


def test_a_person_without_region_or_head_gets_no_face():
    one = people([None])
    empty = replace(one, people=(replace(one.people[0], region=torch.zeros(8, 8)),))
    assert assign([Face.at(10, 10, 50, 50)], empty, 100, 100) == [None]
