"""The bundled workflows read at first sight: grouped, nothing over another thing, on one screen at 50 %."""

import json

import pytest
from PIL import Image

from dev.arrange import arrange
from dev.templates import WORKFLOWS, editor_graph, extras, names

SCREEN = (1920 * 2, 1080 * 2)
TITLE = 30


def box(node: dict) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a node with its title."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def frame(group: dict) -> tuple[float, float, float, float]:
    x, y, width, height = group["bounding"]
    return x, y, x + width, y + height


def overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def within(a, b) -> bool:
    return b[0] <= a[0] and b[1] <= a[1] and a[2] <= b[2] and a[3] <= b[3]


@pytest.mark.parametrize("name", names())
def test_a_template_is_laid_out(name):
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    nodes = {node["title"]: box(node) for node in workflow["nodes"]}
    frames = {group["title"]: frame(group) for group in workflow["groups"]}
    assert list(frames) == ["Models", "People", "Picture", "Finishing"]
    assert len(nodes) == len(workflow["nodes"]), "two nodes of one title"
    note = nodes.pop("Read me")
    for title, place in nodes.items():
        assert sum(within(place, each) for each in frames.values()) == 1, title
    things = [note, *frames.values()]
    assert not any(overlap(a, b) for a in things for b in things if a is not b)
    for title, place in nodes.items():
        assert not any(overlap(place, nodes[each]) for each in nodes if each != title), title
    lefts, tops, rights, bottoms = zip(note, *frames.values(), strict=True)
    assert max(rights) - min(lefts) < SCREEN[0] and max(bottoms) - min(tops) < SCREEN[1]


@pytest.mark.parametrize("name", [name for name in names() if "app" in extras()[name]])
def test_app_mode_shows_widgets_that_are_there(name):
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    nodes = {node["id"]: node for node in workflow["nodes"]}
    shown = workflow["extra"]["linearData"]
    assert [nodes[each]["type"] for each in shown["outputs"]] == ["SaveImage"]
    assert len(shown["inputs"]) > 5
    graph = editor_graph(name)
    chosen = extras()[name]["app"]["inputs"]
    assert shown["inputs"] == [[list(graph).index(key) + 1, widget] for key, widget in chosen]
    for key, widget in chosen:
        assert not isinstance(graph[key]["inputs"][widget], list), f"{widget} is linked"


def test_a_node_in_no_group_is_told():
    node = {"type": "KSampler", "pos": [0, 0], "size": [460, 300]}
    with pytest.raises(ValueError, match=r"groups: .* not so \['b'\]"):
        arrange({"a": node, "b": node}, {"Models": [["a"]]})


@pytest.mark.parametrize("name", names())
def test_thumbnails_are_square(name):
    with Image.open(WORKFLOWS / f"{name}.jpg") as picture:
        assert picture.width == picture.height >= 320
