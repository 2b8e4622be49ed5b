"""Boxes drawn by hand, through POST /prompt."""

import numpy as np
import pytest

PROMPT = "a park BREAK photo BREAK a woman BREAK a man"


def graph(**inputs) -> dict:
    settings = {
        "method": "fused", "weights": "a1111", "base_strength": 0.2, "feather": 0.0,
        "layout": "columns", "order": "", "start": 0.0, "end": 1.0, "on_missing": "error",
    }  # fmt: skip
    return {
        "checkpoint": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "small_sd15.safetensors"},
        },
        "people": {
            "class_type": "BreakRegionalPrompt",
            "inputs": {
                "model": ["checkpoint", 0], "clip": ["checkpoint", 1], "text": PROMPT,
                "negative": "", **settings, **inputs,
            },
        },
        "picture": {"class_type": "MaskToImage", "inputs": {"mask": ["people", 4]}},
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["picture", 0], "filename_prefix": "live/boxes"},
        },
    }  # fmt: skip


def masks(server, **inputs) -> np.ndarray:
    result = server.run(graph(**inputs))
    assert result.status == "success", result.error
    return np.stack([np.asarray(image.convert("L")) for image in result.images]) / 255


def test_boxes_become_the_peoples_masks(server):
    woman, man = masks(server, boxes="[[0.5, 0, 0.5, 1], [0, 0.25, 0.25, 0.5]]")
    half, quarter = woman.shape[1] // 2, woman.shape[0] // 4
    assert woman[:, half:].min() == 1 and woman[:, :half].max() == 0
    expected = np.zeros_like(man)
    expected[quarter : 3 * quarter, : half // 2] = 1
    assert (man == expected).all()


def test_boxes_win_over_linked_masks(server):
    boxes = "[[0,0,0.5,1],[0.5,0,0.5,1]]"
    everywhere = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 64, "height": 64}}
    linked = graph(boxes=boxes, regions=["everywhere", 0]) | {"everywhere": everywhere}
    result = server.run(linked)
    assert result.status == "success", result.error
    drawn = np.stack([np.asarray(image.convert("L")) for image in result.images]) / 255
    assert (drawn == masks(server, boxes=boxes)).all()


def test_an_old_graph_without_boxes_has_columns(server):
    assert (masks(server) == masks(server, boxes="[[0,0,0.5,1],[0.5,0,0.5,1]]")).all()


@pytest.mark.parametrize(
    ("boxes", "needle"),
    [
        ("[[0,0,1,1]]", "1 box and the prompt has 2 people"),
        ("left", "must be a list"),
        ("[[0,0,1,1],[0.5,0,0.6,1]]", "box 2"),
    ],
)
def test_bad_boxes_are_refused_at_the_queue(server, boxes, needle):
    status, answer = server.post(graph(boxes=boxes))
    assert status == 400
    # Core tells it once for every input that the check names.
    told = {error["details"] for error in answer["node_errors"]["people"]["errors"]}
    assert all(needle in each for each in told)
