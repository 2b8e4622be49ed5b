"""Boxes as other nodes pass them: core's own nodes are the oracle, other packs' forms golden data."""

import json

import numpy as np
import pytest
import torch
from comfy_extras.nodes_bounding_boxes import CreateBoundingBoxes
from comfy_extras.nodes_images import BoundingBox as CoreBox
from ensemble_portraits.ensemble.prompt.reading import read_prompt
from ensemble_portraits.ensemble.regions.drawn import read_drawn
from ensemble_portraits.ensemble.regions.exchange import read_places
from ensemble_portraits.ensemble.regions.places import (
    SEG,
    Size,
    as_bounding_boxes,
    as_elements,
    as_segs,
    as_text,
    masks_of,
    text_of,
)
from hypothesis import given
from hypothesis import strategies as st

SIZE = Size(960, 640)
DRAWN = [
    {"x": 96, "y": 64, "width": 192, "height": 320, "metadata": {"type": "obj", "desc": "a woman"}},
    {"x": 480, "y": 0, "width": 480, "height": 640, "metadata": {"type": "obj", "desc": "a man"}},
]
RECTS = [(0.1, 0.1, 0.3, 0.6), (0.5, 0.0, 1.0, 1.0)]


def edges(places) -> list[tuple[float, ...]]:
    return [
        tuple(round(v, 3) for v in (r.left, r.top, r.right, r.bottom))
        for r in (p.rect for p in places)
    ]


def canvas(boxes, size=SIZE):
    """Core's own canvas: (bboxes, elements)."""
    _, bboxes, elements = CreateBoundingBoxes.execute(*size, editor_state=boxes).result
    return bboxes, elements


def test_both_outputs_of_cores_canvas_are_the_same_places():
    bboxes, elements = canvas(DRAWN)
    assert edges(read_places(bboxes, SIZE)) == RECTS
    # Elements are of no size: they fit any.
    for size in (SIZE, Size(512, 2048)):
        places = read_places(elements, size)
        assert edges(places) == RECTS
        assert [place.words for place in places] == ["a woman", "a man"]
    # As text, too, and as a prompt of Ideogram 4 has them.
    whole = {"high_level_description": "x", "compositional_deconstruction": {"elements": elements}}
    for text in (json.dumps(elements), json.dumps(whole)):
        assert edges(read_places(text, SIZE)) == RECTS


def test_core_reads_what_we_give():
    """Ours to core's canvas and back: the same boxes and words."""
    places = read_places(DRAWN, SIZE)
    for given_ in (
        as_bounding_boxes(places, SIZE),
        as_elements(places),
        json.dumps(as_elements(places)),
    ):
        _, bboxes, elements = CreateBoundingBoxes.execute(*SIZE, bboxes=given_).result
        assert bboxes == canvas(DRAWN)[0]
        assert elements == canvas(DRAWN)[1]


def test_one_box_of_cores_primitive_node():
    (box,) = CoreBox.execute(480, 0, 480, 640).result
    assert edges(read_places(box, SIZE)) == [RECTS[1]]


@pytest.mark.parametrize(
    ("value", "corners"),
    [
        # KJNodes' points editor, in the two formats that it writes, and one box alone.
        ([(96, 64, 288, 384), (480, 0, 960, 640)], True),
        ([(96, 64, 192, 320), (480, 0, 480, 640)], False),
        ([[288, 384, 96, 64], [960, 640, 480, 0]], True),
        ("[[0.1, 0.1, 0.2, 0.5], [0.5, 0, 0.5, 1]]", True),  # our own text
    ],
)
def test_bare_numbers(value, corners):
    assert edges(read_places(value, SIZE, corners)) == RECTS
    if not isinstance(value, str):
        assert edges(read_places(value[1], SIZE, corners)) == RECTS[1:]


def test_lettering_is_nobody():
    elements = [
        {"type": "text", "bbox": [0, 0, 100, 1000], "text": "SALE", "desc": "red letters"},
        {
            "type": "obj",
            "bbox": [100, 100, 600, 300],
            "desc": "a woman",
            "color_palette": ["#FF0000"],
        },
    ]
    assert edges(read_places(elements, SIZE)) == RECTS[:1]


def test_segs_keep_their_masks_and_come_back():
    soft = np.linspace(0, 1, 20 * 10, dtype=np.float32).reshape(20, 10)
    seg = SEG(None, soft, 0.9, [30, 40, 40, 60], [32, 44, 38, 56], "face", None)
    (place,) = read_places(((100, 80), [seg]), Size(512, 512))
    assert edges([place]) == [(0.4, 0.44, 0.475, 0.56)]
    assert place.words == "face"
    assert torch.equal(place.mask[40:60, 30:40], torch.from_numpy(soft))
    assert place.mask.sum() == pytest.approx(soft.sum())
    masks = masks_of([place], Size(80, 100), 0.06)
    shape, (again,) = as_segs([place], masks)
    assert shape == (100, 80)
    assert again.bbox == [32, 44, 38, 56]
    assert np.array_equal(again.cropped_mask, place.mask[44:56, 32:38].numpy())


def test_masks_become_the_boxes_around_them():
    masks = torch.zeros(2, 64, 96)
    masks[0, 6:39, 10:29] = 1
    masks[1, :, 48:] = 1
    masks[1, :, 40:48] = 0.4  # a soft border is no body
    places = read_places(masks, SIZE)
    assert as_bounding_boxes(places, Size(96, 64)) == [
        [{"x": 10, "y": 6, "width": 19, "height": 33}, {"x": 48, "y": 0, "width": 48, "height": 64}]
    ]
    assert torch.equal(masks_of(places, Size(96, 64), 0.06), masks)


@given(
    st.lists(
        st.tuples(*[st.integers(0, 900)] * 2, *[st.integers(8, 100)] * 2), min_size=1, max_size=6
    ),
    st.sampled_from([Size(1000, 1000), Size(2000, 1000), Size(1000, 3000)]),
)
def test_there_and_back(rows, size):
    """Through every form of ours the boxes stay, to half a pixel or half a thousandth."""
    kx, ky = size.width // 1000, size.height // 1000
    boxes = [{"x": x * kx, "y": y * ky, "width": w * kx, "height": h * ky} for x, y, w, h in rows]
    places = read_places(boxes, size)
    assert as_bounding_boxes(places, size) == [boxes]
    assert edges(read_places(as_elements(places), size)) == edges(places)
    assert edges(read_places(as_text(places), size)) == edges(places)
    assert len(read_drawn(as_text(places), len(rows))) == len(rows)


@pytest.mark.parametrize("scene", ["a park", "a park BREAK photo", ""])
def test_the_text_is_a_prompt_with_a_part_per_box(scene):
    places = read_places([*DRAWN, DRAWN[0] | {"metadata": {"desc": "a BREAK dancer"}}], SIZE)
    prompt = read_prompt(text_of(places, scene), "", "a1111", "").prompt
    assert [person.text for person in prompt.people] == ["a woman", "a man", "a dancer"]
    assert prompt.base.text == scene.split(" BREAK")[0]


def test_nobody():
    for empty in ("", "[]", [], [[]], ((64, 64), [])):
        assert read_places(empty, SIZE) == []
    assert masks_of([], SIZE, 0.1).shape == (1, 640, 960)
    assert as_text([]) == "" and as_bounding_boxes([], SIZE) == []


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"x": 1, "y": 2, "width": 3}, "box 1 must have x, y, width and height"),
        ([{"x": 0, "y": 0, "width": 9, "height": float("nan")}], "box 1"),
        ([DRAWN[0] | {"x": 2000}], "outside the picture of 960x640"),
        ([{"bbox": [1, 2, 3], "desc": ""}], "element 1: bbox must be"),
        ([{"bbox": [0, 0, 640, 1216], "desc": ""}], "so it is in pixels"),
        ([{"bbox": [-1, 0, 640, 900], "desc": ""}], "beyond 0 to 1000"),
        ("no json", "is text, and no JSON"),
        ([DRAWN[0]] * 65, "65 boxes; 64 is the most"),
        (torch.zeros(2, 8, 8), "mask 1 is empty"),
        (3.5, "Known are PEOPLE"),
        ([{"label": "face"}], "Known are PEOPLE"),
        ([[0.1, 0.2]], "Known are PEOPLE"),
    ],
)
def test_what_cannot_be_read_is_told(value, says):
    with pytest.raises(ValueError, match="Input 'boxes'") as told:
        read_places(value, SIZE)
    assert says in str(told.value)
