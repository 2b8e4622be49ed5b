"""Paste-back on drawn people: who is kept stays, to the pixel, and can still be told."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.film.paste import paste_back
from scipy.ndimage import distance_transform_edt

from dolls.world import draw, identity_scores, make_scene, person_masks

pytestmark = pytest.mark.long

FEATHER = 6


def image(scene) -> torch.Tensor:
    return torch.from_numpy(np.asarray(draw(scene)).astype(np.float32) / 255)[None]


def as_bytes(picture: torch.Tensor) -> np.ndarray:
    return (picture[0] * 255).round().numpy().astype(np.uint8)


def test_the_person_who_is_kept_is_the_same_person():
    """Everything else is repainted: another place, other people where the first one stood too."""
    for seed in range(6):
        scene = make_scene(random.Random(seed), shape="landscape", identities=(0, 1))
        other = make_scene(random.Random(seed + 50), shape="landscape", identities=(1, 0))
        kept = person_masks(scene)[0]
        mask = torch.from_numpy((~kept).astype(np.float32))[None]
        result = paste_back(image(other), image(scene), mask, feather=FEATHER, match_colour=0.0)
        assert result.shape == image(scene).shape
        inside = distance_transform_edt(kept) > 1.5 * FEATHER
        assert inside.any() and torch.equal(result[0][inside], image(scene)[0][inside])
        outside = distance_transform_edt(~kept) > 1.5 * FEATHER
        assert torch.equal(result[0][outside], image(other)[0][outside])
        # Hair in the right colours is what tells who it is.
        left, top, right, bottom = scene.people[0].head_box
        scores = identity_scores(as_bytes(result), (left, top, right, bottom))
        assert scores[0] > 5 * scores[1]


def test_only_the_redrawn_person_becomes_somebody_else():
    scene = make_scene(random.Random(3), shape="landscape", identities=(2, 3))
    stranger = replace(scene.people[1], identity=5, shirt="green", skin="dark")
    changed = replace(scene, people=(scene.people[0], stranger))
    mask = torch.from_numpy(person_masks(changed)[1].astype(np.float32))[None]
    result = as_bytes(paste_back(image(changed), image(scene), mask, feather=2, match_colour=0.0))
    first, second = (identity_scores(result, person.box) for person in scene.people)
    assert first[2] >= 0.5 and first[2] > 5 * first[5]
    assert second[5] >= 0.5 and second[5] > 5 * second[3]
    kept = person_masks(scene)[0] & (distance_transform_edt(mask[0] == 0) > 4)
    assert (result[kept] == np.asarray(draw(scene))[kept]).all()
