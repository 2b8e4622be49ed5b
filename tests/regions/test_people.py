"""Regions of bodies: a partition, fair to the small, deaf to order and scale."""

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.regions.body import (
    depth_order,
    head_circle,
    real_people,
    similarity,
    torso_length,
)
from ensemble_portraits.ensemble.regions.capsules import segment_distance
from ensemble_portraits.ensemble.regions.people import Shape, body_regions
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = list(Shape)


def bodies(people: int, width: int, height: int) -> np.ndarray:
    return np.stack([p.body for p in default_pose(people, width, height)[0].people])


def moved(body: np.ndarray, scale: float, x: float, y: float) -> np.ndarray:
    return np.c_[body[:, :2] * scale + (x, y), body[:, 2]]


def random_bodies(seed: int, people: int, width: int, height: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    one = bodies(1, 512, 640)[0]
    made = []
    for _ in range(people):
        scale = rng.uniform(0.2, 1.2)
        body = moved(one, scale, rng.uniform(-0.2, 0.8) * width, rng.uniform(-0.2, 0.6) * height)
        # Half bodies of every kind, but never less than a trunk or a head.
        if rng.random() < 0.5:
            body[rng.choice([3, 4, 6, 7, 9, 10, 12, 13, 16, 17], 4, replace=False)] = 0
        if rng.random() < 0.3:
            body[8:14] = 0
        made.append(body)
    return np.stack(made)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.sampled_from(SHAPES),
       st.sampled_from([(512, 512), (768, 512), (96, 640), (1024, 1024)]))  # fmt: skip
def test_people_and_background_are_a_partition(seed, people, shape, size):
    regions = body_regions(random_bodies(seed, people, *size), *size, shape)
    assert regions.shape == (people, size[1], size[0])
    total = regions.sum(dim=0)
    assert torch.isfinite(regions).all() and regions.min() >= 0 and total.max() <= 1 + 1e-5
    if shape is Shape.COLUMNS:
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.permutations(range(4)), st.sampled_from(SHAPES))
def test_permuting_people_permutes_masks(seed, order, shape):
    made = random_bodies(seed, 4, 640, 512)
    regions = body_regions(made, 640, 512, shape)
    again = body_regions(made[list(order)], 640, 512, shape)
    assert torch.allclose(again, regions[list(order)], atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_scaling_the_canvas_scales_the_masks(shape):
    made = random_bodies(5, 3, 512, 512)
    small = body_regions(made, 512, 512, shape)
    big = body_regions(np.stack([moved(b, 3, 0, 0) for b in made]), 1536, 1536, shape)
    # Area means of 3x3 pixels against the small masks; both come of one grid of 256 points a side.
    assert (torch.nn.functional.avg_pool2d(big[None], 3)[0] - small).abs().max() < 0.02


def test_a_field_is_the_distance_to_the_segment():
    rng = np.random.default_rng(0)
    x, y = torch.arange(0.0, 30.0), torch.arange(0.0, 20.0)
    for a, b in rng.uniform(0, 30, (20, 2, 2)):
        field = segment_distance(torch.tensor([[*a, *b]], dtype=torch.float32), x, y)[0].numpy()
        t = np.linspace(0, 1, 4001)[:, None]
        line = a + t * (b - a)
        for px, py in ((0, 0), (29, 19), (7, 13), (15, 4)):
            closest = np.hypot(*(line - (px, py)).T).min()
            assert field[py, px] == pytest.approx(closest, abs=1e-2)


@pytest.mark.parametrize("shape", [Shape.CAPSULE, Shape.HULL, Shape.BOX])
def test_joints_lie_in_their_own_region(shape):
    made = bodies(3, 768, 512)
    regions = body_regions(made, 768, 512, shape)
    for k, body in enumerate(made):
        for x, y, _ in body[:18]:
            if 0 <= x < 768 and 0 <= y < 512:
                assert regions[k, int(y), int(x)] > 0.5


def test_a_big_person_does_not_swallow_a_small_one():
    one = bodies(1, 512, 640)[0]
    big, small = moved(one, 1.0, 120, 0), moved(one, 0.22, 75, 330)
    regions = body_regions(np.stack([big, small]), 640, 640)
    # Everything of the child beside the adult is the child's, and hardly any of the adult is.
    for x, y, _ in small:
        assert regions[1, int(y), int(x)] > 0.6
    for joint in range(8):
        x, y = big[joint, :2].astype(int)
        assert regions[0, y, x] > 0.9


def test_overlap_goes_to_the_nearer_person():
    one = bodies(1, 512, 640)[0]
    near, far = moved(one, 0.9, 60, 80), moved(one, 0.9, 110, 0)
    for order in ((near, far), (far, near)):
        made = np.stack(order)
        regions = body_regions(made, 640, 720)
        k = 0 if order[0] is near else 1
        assert depth_order(made)[k] == 0
        # The far one's hips, which the near one's trunk hides.
        x, y = ((far[8, :2] + far[11, :2]) / 2).astype(int)
        assert regions[k, y, x] > 0.8
        x, y = far[0, :2].astype(int)
        assert regions[1 - k, y, x] > 0.8


def test_close_heads_are_shared_out_fairly():
    """Two half bodies whose heads nearly touch, one with shoulders much turned."""
    left, right = np.zeros((18, 3)), np.zeros((18, 3))
    for body, joints in (
        (left, {0: (303, 177), 1: (195, 353), 2: (106, 382), 5: (282, 325), 14: (253, 136),
                15: (329, 134), 16: (175, 147), 17: (361, 144)}),
        (right, {0: (474, 160), 1: (548, 378), 2: (348, 384), 3: (319, 511), 4: (261, 485),
                 5: (748, 372), 14: (437, 126), 15: (519, 117), 17: (594, 151)}),
    ):  # fmt: skip
        for joint, place in joints.items():
            body[joint] = (*place, 1)
    regions = body_regions(np.stack([left, right]), 768, 512)
    for k, body in enumerate((left, right)):
        for joint in (0, 1, 2, 5, 14, 15, 16, 17):
            if body[joint, 2]:
                x, y = body[joint, :2].astype(int)
                assert regions[k, y, x] > 0.5, (k, joint)


def test_half_bodies_reach_down():
    upper = bodies(1, 512, 640)[0]
    upper[8:14] = 0
    region = body_regions(upper[None], 512, 640)[0]
    neck = upper[1]
    unit = torso_length(upper)
    assert region[int(neck[1] + 0.7 * unit), int(neck[0])] > 0.5
    # Hips in the picture and no knees: something stands before the legs, or they are cut off.
    hips = bodies(1, 512, 640)[0]
    hips[[9, 10, 12, 13]] = 0
    region = body_regions(hips[None], 512, 640)[0]
    assert region[620, int(hips[8, 0])] > 0.5


def test_unit_and_head_of_a_known_figure():
    body = bodies(1, 512, 640)[0]
    torso = np.linalg.norm(body[1, :2] - (body[8, :2] + body[11, :2]) / 2)
    assert torso_length(body) == pytest.approx(torso)
    centre, radius = head_circle(body)
    assert 0.22 * torso <= radius <= 0.42 * torso and abs(centre[0] - 256) < 1
    shoulders = body.copy()
    shoulders[8:] = 0
    assert torso_length(shoulders) == pytest.approx(1.3 * 0.2 * 640)


def test_duplicates_and_fragments_are_dropped():
    made = list(bodies(2, 768, 512))
    twin = made[0] + (2.0, 1.0, 0.0)
    twin[4:, 2] = 0
    fragment = np.zeros((18, 3))
    fragment[[2, 3]] = made[0][[2, 3]]
    speck = moved(made[1], 0.01, 10, 10)
    assert similarity(made[0], twin) > 0.9 and similarity(made[0], made[1]) < 0.1
    assert real_people([twin, made[0], fragment, made[1], speck], 768, 512) == [1, 3]


def test_nobody():
    assert body_regions(np.zeros((0, 18, 3)), 64, 32).shape == (0, 32, 64)
