"""What is read off a picture is true of drawings, whose every part is known."""

import random

import numpy as np
import pytest

from dolls.world import draw, make_scene
from dolls.world.reading import FAR, displacement, looks, parts, word_of

SEEDS = range(12)


def portraits(offset: int = 0):
    rngs = (random.Random(seed + offset) for seed in SEEDS)
    return [make_scene(rng, count=1, shape="portrait", scale=0.75) for rng in rngs]


def test_every_colour_is_read_as_its_word():
    for scene in portraits():
        picture = np.asarray(draw(scene))
        for part in parts(scene)[0]:
            assert word_of(picture, part) == part.word


def test_a_part_is_found_where_it_was_moved_to():
    found = []
    for scene in portraits():
        picture = np.asarray(draw(scene))
        moved = np.roll(picture, (6, -8), (0, 1))
        for part in parts(scene)[0]:
            assert displacement(picture, part) < 1
            found.append(displacement(moved, part))
    assert np.median(found) == pytest.approx(10)


def test_somebody_elses_picture_has_it_nowhere_near():
    away = [
        displacement(np.asarray(draw(other)), part)
        for scene, other in zip(portraits(), portraits(1000), strict=True)
        for part in parts(scene)[0]
    ]
    assert np.mean(away) > 0.9 * FAR


@pytest.mark.parametrize("people", [(0, 1), (2, 3, 5), (4, None)])
def test_identities_look_like_themselves_alone(people):
    for seed in range(3):
        scene = make_scene(random.Random(seed), shape="landscape", identities=people, scale=0.75)
        scores = looks(np.asarray(draw(scene)), scene, range(6))
        for row, who in zip(scores, people, strict=True):
            if who is None:
                assert row.max() < 0.6  # clothes may be alike
            else:
                assert row[who] == pytest.approx(1)
                assert np.delete(row, who).max() < 0.4
