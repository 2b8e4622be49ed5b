"""Who is in front where people overlap, by properties and on drawn people known to the pixel."""

import random

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.pose.depth import in_depth
from ensemble_portraits.ensemble.pose.people import Assignment
from ensemble_portraits.ensemble.pose.skeleton import (
    Pose,
    Skeleton,
    read_pose_keypoint,
    write_pose_keypoint,
)
from ensemble_portraits.ensemble.prompt.order import parse_front, parse_order
from ensemble_portraits.ensemble.regional.placement import PlacementRequest, place
from ensemble_portraits.ensemble.regions.boxes import box_masks
from ensemble_portraits.ensemble.regions.depth import in_front
from ensemble_portraits.ensemble.regions.drawn import drawn_masks, read_drawn
from ensemble_portraits.ensemble.regions.people import Shape, body_regions
from hypothesis import given, settings
from hypothesis import strategies as st

from dolls.world import KINDS, bodies, contact_scene, person_masks

SIDE = 384
HIPS = (8, 11)  # crossed arms lie above them


def two(apart: float = 30.0, lower: float = 0.0) -> np.ndarray:
    """Two overlapping bodies `[2,18,3]`; the second stands `lower` pixels lower."""
    one = default_pose(1, SIDE, SIDE)[0].people[0].body
    return np.stack([one, one + np.array([apart, lower, 0.0])])


def owner(regions: torch.Tensor, place) -> int:
    return int(regions[:, int(place[1]), int(place[0])].argmax())


@settings(max_examples=25)
@given(
    st.integers(0, 2**31), st.permutations(range(3)), st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.sampled_from([Shape.CAPSULE, Shape.HULL, Shape.BOX]),
)  # fmt: skip
def test_permuting_people_with_their_depth_changes_nothing_and_sums_stay(seed, order, front, shape):
    rng = np.random.default_rng(seed)
    one = default_pose(1, SIDE, SIDE)[0].people[0].body
    made = np.stack(
        [one * (s, s, 1) + (*rng.uniform(-60, 60, 2), 0) for s in rng.uniform(0.5, 1, 3)]
    )
    order, front = list(order), np.array(front)
    regions = body_regions(made, SIDE, SIDE, shape, front=front)
    again = body_regions(made[order], SIDE, SIDE, shape, front=front[order])
    assert torch.allclose(again, regions[order], atol=1e-5)
    assert regions.min() >= 0 and regions.sum(0).max() <= 1 + 1e-5


@pytest.mark.parametrize("shape", [Shape.CAPSULE, Shape.HULL, Shape.BOX])
@pytest.mark.parametrize("nearer", [0, 1])
def test_who_is_said_to_be_in_front_has_the_overlap(nearer, shape):
    made = two(apart=24)
    front = [1 if k == nearer else 0 for k in range(2)]
    regions = body_regions(made, SIDE, SIDE, shape, front=front)
    middle = made[:, list(HIPS), :2].mean((0, 1))
    assert owner(regions, middle) == nearer
    assert regions[nearer].sum() > regions[1 - nearer].sum()


def test_said_wins_over_how_they_stand():
    made = two(apart=24, lower=20)
    middle = made[1, list(HIPS), :2].mean(0)
    assert owner(body_regions(made, SIDE, SIDE), middle) == 1
    assert owner(body_regions(made, SIDE, SIDE, front=(1, 0)), middle) == 0


def arm_over_head() -> np.ndarray:
    """The second body's right arm lies over the first one's face."""
    made = two(apart=150)
    made[1, 3, :2] = (made[1, 2, :2] + made[0, 0, :2]) / 2
    made[1, 4, :2] = made[0, 0, :2]
    return made


def test_a_face_is_lost_to_an_arm_only_on_demand():
    made = arm_over_head()
    face = made[0, 0, :2]
    for front, has_it in (((0, 0), 0), ((0, 1), 0), ((1, 0), 0), ((0, 2), 1), ((1, 3), 1)):
        assert owner(body_regions(made, SIDE, SIDE, front=front), face) == has_it, front


def test_an_arm_laid_on_somebody_in_front_stays_its_owners():
    made = two(apart=90, lower=10)
    assert owner(body_regions(made, SIDE, SIDE), made[1, 1, :2] + (0, 30)) == 1
    chest = made[1, 1, :2] + (0, 30)
    made[0, 6, :2], made[0, 7, :2] = (made[0, 5, :2] + chest) / 2, chest
    regions = body_regions(made, SIDE, SIDE)
    assert owner(regions, chest) == 0
    # Of somebody whose own hands are on their own chest, it hides nothing.
    crossed = body_regions(two(apart=90, lower=10), SIDE, SIDE)
    assert owner(crossed, chest) == 1


@pytest.mark.parametrize(
    ("kind", "people", "hands"),
    [("one in front", 0.868, None), ("hand on the other", 0.903, 0.8), ("hug", 0.84, 0.85)],
)
def test_drawn_people_have_their_own_pixels(kind, people, hands):
    """benchmarks/overlap.py has the figures; before parts had a depth, hands were 0.28 and 0.39."""
    overlaps, owned = [], []
    for seed in range(16):
        scene = contact_scene(random.Random(f"test {seed}"), kind)
        truth, joints = person_masks(scene), bodies(scene)
        regions = body_regions(joints, *scene.size)
        mine = regions.argmax(0).numpy()
        for k, mask in enumerate(truth):
            taken = (mine == k) & truth.any(0)
            overlaps.append((taken & mask).sum() / (taken | mask).sum())
        for k in scene.arms_over:
            for wrist in (4, 7):
                x, y = joints[k, wrist, :2].astype(int)
                inside = joints[k, wrist, 2] and truth[k, y, x]
                if inside and _on_trunk(joints[1 - k], (x, y)):
                    owned.append(mine[y, x] == k)
    assert np.mean(overlaps) > people
    assert hands is None or np.mean(owned) > hands


def _on_trunk(body: np.ndarray, place) -> bool:
    (left, top), (right, bottom) = body[[2, 5, 8, 11], :2].min(0), body[[2, 5, 8, 11], :2].max(0)
    return bool(left <= place[0] <= right and top <= place[1] <= bottom)


def test_scenes_say_who_is_in_front():
    for kind in KINDS:
        scene = contact_scene(random.Random(3), kind)
        assert len(scene.people) == 2 and person_masks(scene).sum(0).max() == 1


def test_signs_of_order():
    assert parse_order("2,1+ 0") == (2, 1, 0) and parse_front("2,1+ 0", 2) == (1, 0)
    assert parse_front("3++,1,2+", 3) == (0, 1, 2)
    assert parse_front("2,1", 2) is None and parse_front("", 2) is None
    for wrong in ("+1,2", "1-,2", "1+2", "+"):
        with pytest.raises(ValueError, match="order"):
            parse_order(wrong)


def test_boxes_and_masks_in_front():
    text = "[[0, 0, 0.6, 1], [0.4, 0, 0.6, 1, 1]]"
    drawn = read_drawn(text, 2)
    assert [each.front for each in drawn] == [0, 1]
    masks = box_masks([each.rect for each in drawn], 0.1)
    assert in_front(masks, (0, 0)) is masks and in_front(masks, None) is masks
    cut = drawn_masks(drawn, 0.1)
    assert torch.equal(cut[1], masks[1]) and cut.sum(0).max() <= 1 + 1e-6
    middle = (slice(None), 256, 256)
    assert cut[middle].tolist() == [0, 1]
    by_order = place(PlacementRequest(people=2, order="1,2+", regions=masks)).regions
    assert torch.equal(by_order, cut)
    for wrong in (
        "[[0, 0, 1, 1, 99]]",
        '[[0, 0, 1, 1, "a"]]',
        "[[0, 0, 1, 1, NaN]]",
        "[[0,0,1,1,0,0]]",
    ):
        with pytest.raises(ValueError, match="Input 'boxes', box 1"):
            read_drawn(wrong, 1)


def pose_of_two() -> Pose:
    return Pose(SIDE, SIDE, tuple(Skeleton.of(body) for body in two(apart=24)))


def test_a_depth_map_says_who_is_in_front():
    pose, ramp = pose_of_two(), np.tile(np.linspace(1, 0, SIDE), (SIDE, 1))
    each = Assignment(((0,), (1,)))
    left, right = (p.front for p in in_depth(pose, each, depth=ramp).people)
    assert 1 > left > right >= 0
    left, right = (p.front for p in in_depth(pose, each, (0, 1), ramp).people)
    assert left < 1 <= right < 2
    flat = in_depth(pose, each, depth=np.full((8, 8), 0.7)).people
    assert flat[0].front == flat[1].front


def test_keypoints_carry_the_depth_into_the_prompt_node():
    pose = in_depth(pose_of_two(), Assignment(((0,), (1,))), (1, 0))
    written = write_pose_keypoint([pose])
    assert [p.front for p in read_pose_keypoint(written)[0].people] == [1, 0]
    middle = pose.people[1].body[list(HIPS), :2].mean(0) - np.array([12, 0])
    for order, has_it in (("", 0), ("1,2+", 1)):
        regions = place(PlacementRequest(people=2, order=order, pose=written)).regions
        assert owner(regions, middle) == has_it
