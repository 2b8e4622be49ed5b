"""Boxes drawn by hand: what is read, and the masks they become."""

import json

import pytest
import torch
from ensemble_portraits.ensemble.regions.boxes import box_masks
from ensemble_portraits.ensemble.regions.drawn import drawn_masks, read_drawn
from ensemble_portraits.ensemble.regions.layout import SIZE, Layout, lay_out
from ensemble_portraits.ensemble.regions.rect import Rect, Unit
from hypothesis import given
from hypothesis import strategies as st


def box(*numbers: float) -> Rect:
    return Rect.sized(*numbers, Unit.FRACTIONS)


@pytest.mark.parametrize("people", [1, 2, 3, 5])
@pytest.mark.parametrize("feather", [0.0, 0.06, 0.5])
def test_boxes_side_by_side_are_the_columns_of_the_layout(people, feather):
    boxes = [box(i / people, 0, 1 / people, 1) for i in range(people)]
    assert torch.allclose(
        box_masks(boxes, feather), lay_out(people, Layout.COLUMNS, feather), atol=1e-5
    )


def test_a_box_is_where_it_was_drawn():
    (mask,) = box_masks([box(0.25, 0.5, 0.5, 0.25)], feather=0.0)
    rows, columns = mask.nonzero().T
    assert (columns.min(), columns.max()) == (SIZE // 4, 3 * SIZE // 4 - 1)
    assert (rows.min(), rows.max()) == (SIZE // 2, 3 * SIZE // 4 - 1)
    assert mask[rows, columns].min() == 1


def test_the_feather_stays_below_the_box():
    (mask,) = box_masks([box(0.4, 0.0, 0.1, 1.0)], feather=0.5)
    assert mask.max() > 0.9


def test_nothing_is_no_boxes():
    assert read_drawn("", 2) == [] and read_drawn(" \n", 0) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("left half", "list of"),
        ('{"a": 1}', "list of"),
        ("[[0, 0, 1]]", "box 1"),
        ("[[0, 0, 1, true]]", "four numbers"),
        ("[[0, 0, 1, NaN]]", "four numbers"),
        ("[[0, 0, 1, Infinity]]", "four numbers"),
        (f"[[0, 0, 1, 1{'0' * 400}]]", "four numbers"),
        ('[[0, 0, 1, "1"]]', "four numbers"),
        ("[[0, 0, 1, 0]]", "wider and higher"),
        ("[[0.6, 0, 0.6, 1]]", "must lie in the picture"),
        ("[[0, 0, 1, 1], [0, 0, 1, 1]]", "2 boxes and the prompt has 1 person"),
        ("[" * 100_000, "list of"),
        ('[{"circle": [0, 0, 1, 1]}]', "ellipse and lasso"),
        ('[{"ellipse": [0, 0, 1, 1], "lasso": []}]', "ellipse and lasso"),
        ('[{"ellipse": [0, 0, 1, 1], "colour": 1}]', "ellipse and lasso"),
        ('[{"ellipse": [0, 0, 2, 1]}]', "box 1, ellipse"),
        ('[{"ellipse": [0, 0, 1, 1], "front": "x"}]', "how far in front"),
        ('[{"lasso": [[0, 0], [1, 1]]}]', "3 to 400 points"),
        ('[{"lasso": [[0, 0], [1, 1], [1, 2]]}]', "3 to 400 points"),
        ('[{"lasso": [[0, 0], [0.5, 0.5], [1, 1]]}]', "encloses nothing"),
    ],
)
def test_a_mistake_names_the_input_and_the_box(text, said):
    with pytest.raises(ValueError, match=r"Input 'boxes'") as caught:
        read_drawn(text, 1)
    assert said in str(caught.value) and len(str(caught.value)) < 300


fractions = st.floats(0, 1)


@given(st.lists(st.tuples(fractions, fractions, fractions, fractions), max_size=6), st.floats(0, 1))
def test_any_boxes_that_are_read_give_masks_of_0_to_1(rows, feather):
    try:
        boxes = read_drawn(json.dumps(rows), None)
    except ValueError:
        assert any(w <= 0 or h <= 0 or x + w > 1 or y + h > 1 for x, y, w, h in rows)
        return
    if boxes:
        masks = drawn_masks(boxes, feather)
        assert masks.shape == (len(rows), SIZE, SIZE)
        assert masks.isfinite().all() and masks.min() >= 0 and masks.max() <= 1


def masks_of(*rows, feather: float = 0.0):
    return drawn_masks(read_drawn(json.dumps(rows), len(rows)), feather)


def test_an_ellipse_has_its_area_and_its_edge():
    """pi a b; a corner of the polygon is within a thousandth of its radius."""
    (mask,) = masks_of({"ellipse": [0.1, 0.2, 0.6, 0.4]})
    assert mask.mean() == pytest.approx(torch.pi * 0.3 * 0.2, rel=3e-3)
    rows, columns = mask.nonzero().T
    edges = [v / SIZE for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
    assert edges == pytest.approx([0.1, 0.2, 0.7, 0.6], abs=1.5 / SIZE)
    # Along the axes the ramp is a box's.
    soft, box_ = masks_of({"ellipse": [0.1, 0.2, 0.6, 0.4]}, [0.1, 0.2, 0.6, 0.4], feather=0.1)
    middle = int(0.4 * SIZE)
    assert soft[middle] == pytest.approx(box_[middle], abs=0.02)


@pytest.mark.parametrize("feather", [0.0, 0.06])
def test_a_lasso_along_a_box_is_that_box(feather):
    corners = [[0.25, 0.5], [1, 0.5], [1, 1], [0.25, 1]]
    for outline in (corners, corners[::-1], corners[2:] + corners[:2]):
        free, box_ = masks_of({"lasso": outline}, [0.25, 0.5, 0.75, 0.5], feather=feather)
        # Round the one corner within the picture the ramps meet in another way.
        away = torch.ones(SIZE, SIZE, dtype=torch.bool)
        away[: int(0.54 * SIZE), : int(0.29 * SIZE)] = False
        assert torch.allclose(free[away], box_[away], atol=1e-4)


def test_a_lasso_that_crosses_itself_has_a_hole():
    star = [[0.5, 0.0], [0.79, 0.9], [0.02, 0.35], [0.98, 0.35], [0.21, 0.9]]
    (mask,) = masks_of({"lasso": star})
    assert mask[SIZE // 2, SIZE // 2] == 0 and mask[int(0.2 * SIZE), SIZE // 2] == 1


def test_who_is_in_front_has_the_place():
    behind, before = masks_of(
        {"lasso": [[0, 0], [1, 0], [1, 1], [0, 1]]}, {"ellipse": [0.3, 0.3, 0.4, 0.4], "front": 1}
    )
    assert before[SIZE // 2, SIZE // 2] == 1 and behind[SIZE // 2, SIZE // 2] == 0
    assert torch.equal(behind + before, torch.ones(SIZE, SIZE))
