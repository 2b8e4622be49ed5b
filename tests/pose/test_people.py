import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.pose.default import default_pose
from ensemble_portraits.ensemble.pose.people import (
    Mismatch,
    assign,
    describe,
    keep_people,
    merge_regions,
)
from ensemble_portraits.ensemble.pose.skeleton import Skeleton
from ensemble_portraits.ensemble.prompt.order import parse_order


@pytest.fixture
def three():
    return default_pose(3, 768, 512)[0]


def test_people_are_sorted_by_torso_not_by_reach(three):
    bodies = [p.body.copy() for p in three.people]
    # The right one stretches an arm past everybody to the left border.
    bodies[2][3, :2], bodies[2][4, :2] = (100, 200), (5, 200)
    shuffled = three.with_people([Skeleton.of(bodies[i]) for i in (2, 0, 1)])
    kept = keep_people(shuffled)
    assert [p.body[1, 0] for p in kept.people] == sorted(b[1, 0] for b in bodies)


def test_people_outside_the_picture_are_dropped(three):
    away = three.people[0].moved((1, 1), (-700, 0))
    assert len(keep_people(three.with_people([away, *three.people[1:]])).people) == 2


def test_order_says_who_stands_where(three):
    # From the left: the third person, the first, the second.
    assert assign(three, 3, order=parse_order("3,1,2")).bodies == ((1,), (2,), (0,))
    assert assign(three, 2, order=parse_order("2, 0, 1")).bodies == ((2,), (0,))
    assert parse_order("") == ()


@pytest.mark.parametrize("bad", ["a", "1;2", "1,1", "1,3", "-1,2", "1.5"])
def test_other_orders_are_refused(bad):
    with pytest.raises(ValueError, match="order"):
        parse_order(bad)


def test_order_must_fit_the_picture_and_the_prompt(three):
    with pytest.raises(ValueError, match=r"2 places.*3 people"):
        assign(three, 3, order=(2, 1))
    with pytest.raises(ValueError, match=r"names 2 people and the prompt has 3"):
        assign(three, 3, order=(2, 0, 1))


def test_mismatch_names_both_numbers(three):
    with pytest.raises(ValueError, match=r"shows 3 people and the prompt has 2"):
        assign(three, 2)
    with pytest.raises(ValueError, match=r"shows 3 people and the prompt has 5"):
        assign(three, 5)


def test_crop_keeps_the_biggest_and_their_order(three):
    small = [p.moved((s, s), (i * 200.0, 0)) for i, (p, s) in enumerate(
        zip(three.people, (0.5, 0.2, 0.4), strict=True))]  # fmt: skip
    pose = keep_people(three.with_people(small))
    assert assign(pose, 2, on_mismatch=Mismatch.CROP).bodies == ((0,), (2,))
    assert assign(pose, 5, on_mismatch=Mismatch.CROP).bodies == ((0,), (1,), (2,))


def test_largest_is_crop_with_an_empty_region_for_whom_there_is_no_body(three):
    found = assign(three, 5, on_mismatch=Mismatch.LARGEST)
    assert found.bodies == ((0,), (1,), (2,), (), ())
    regions = torch.rand(3, 8, 8)
    merged = merge_regions(regions, found)
    assert torch.equal(merged[:3], regions) and not merged[3:].any()
    assert describe(three, found)[3:] == [f"person {n}: no body, not painted" for n in (4, 5)]
    assert len(assign(three, 2, on_mismatch=Mismatch.LARGEST).bodies) == 2


def test_repeat_takes_turns_and_keeps_the_prompts_number(three):
    assert assign(three, 5, on_mismatch=Mismatch.REPEAT).bodies == ((0,), (1,), (2,), (0,), (1,))
    assert assign(three, 2, on_mismatch=Mismatch.REPEAT).bodies == ((0, 2), (1,))


def test_shared_regions_still_sum_to_what_they_were(three):
    regions = torch.rand(3, 8, 8) / 3
    for wanted in (2, 3, 5):
        merged = merge_regions(regions, assign(three, wanted, on_mismatch=Mismatch.REPEAT))
        assert merged.shape[0] == wanted
        assert torch.allclose(merged.sum(0), regions.sum(0), atol=1e-6)


def test_masks_find_their_bodies(three):
    masks = torch.zeros(3, 64, 96)
    for person, body in enumerate((2, 0, 1)):  # the first person of the prompt stands right
        x = int(three.people[body].body[1, 0] / 768 * 96)
        masks[person, :, x - 8 : x + 8] = 1
    assert assign(three, 3, masks=masks).bodies == ((2,), (0,), (1,))


def test_description_names_everyone(three):
    lines = describe(three, assign(three, 2, order=(2, 0, 1)))
    assert lines[0].startswith("person 1: body 3") and lines[1].startswith("person 2: body 1")
    assert lines[2] == "left out: body 2"
    assert np.isclose(float(lines[0].split("at ")[1].split(" ")[0]), 83)
