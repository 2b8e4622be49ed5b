"""Boxes drawn by hand: what is read, and the masks they become."""

import json

import pytest
import torch
from ensemble_portraits.ensemble.regions.boxes import box_masks, read_boxes
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
    assert read_boxes("", 2) == [] and read_boxes(" \n", 0) == []


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
    ],
)
def test_a_mistake_names_the_input_and_the_box(text, said):
    with pytest.raises(ValueError, match=r"Input 'boxes'") as caught:
        read_boxes(text, 1)
    assert said in str(caught.value) and len(str(caught.value)) < 300


fractions = st.floats(0, 1)


@given(st.lists(st.tuples(fractions, fractions, fractions, fractions), max_size=6), st.floats(0, 1))
def test_any_boxes_that_are_read_give_masks_of_0_to_1(rows, feather):
    try:
        boxes = read_boxes(json.dumps(rows), None)
    except ValueError:
        assert any(w <= 0 or h <= 0 or x + w > 1 or y + h > 1 for x, y, w, h in rows)
        return
    if boxes:
        masks = box_masks(boxes, feather)
        assert masks.shape == (len(rows), SIZE, SIZE)
        assert masks.isfinite().all() and masks.min() >= 0 and masks.max() <= 1
