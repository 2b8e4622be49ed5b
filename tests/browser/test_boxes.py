"""Regions by hand: boxes on BreakRegionalPrompt."""

import json

import pytest

from .editor import masks_of
from .test_people import expect


@pytest.mark.parametrize("keys", [False, True], ids=["mouse", "keys"])
def test_boxes_that_are_dragged_arrive_as_masks(editor, keys):
    editor.js("app.canvas.ds.scale = 0.8")
    node = editor.add("BreakRegionalPrompt", y=60, text="a BREAK b BREAK c BREAK d", feather=0.0)
    expect(editor.chip("person-2"), "d")
    editor.page.get_by_role("button", name="Draw regions").click()
    box = editor.page.locator(".ensemble-box").nth(1)
    assert json.loads(editor.value(node, "boxes")) == [[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]
    if keys:
        box.focus()
        for key in ["Shift+ArrowUp"] * 25 + ["ArrowDown"] * 12 + ["ArrowLeft"] * 10:
            editor.page.keyboard.press(key)
        expected = [0.3, 0.24, 0.5, 0.5]
    else:
        stage = editor.page.locator(".ensemble-stage").bounding_box()
        mouse = editor.page.mouse
        corner = (stage["x"] + stage["width"] - 5, stage["y"] + stage["height"] - 5)
        mouse.move(*corner)
        mouse.down()
        mouse.move(corner[0], corner[1] - stage["height"] / 2, steps=4)
        mouse.up()
        middle = (stage["x"] + stage["width"] * 0.75, stage["y"] + stage["height"] * 0.25)
        mouse.move(*middle)
        mouse.down()
        mouse.move(middle[0] - stage["width"] * 0.2, middle[1] + stage["height"] * 0.25, steps=4)
        mouse.up()
        expected = [0.3, 0.25, 0.5, 0.5]
    drawn = json.loads(editor.value(node, "boxes"))[1]
    assert drawn == pytest.approx(expected, abs=0.01)
    sent = editor.api()[node]["inputs"]
    assert sent["boxes"] == editor.value(node, "boxes")
    assert not any(name.startswith("ensemble") for name in sent)
    if keys:
        for key in ["ArrowRight"] * 20 + ["Shift+ArrowUp"] * 40:
            editor.page.keyboard.press(key)
        # It stays in the picture, and large enough to be seen.
        assert json.loads(editor.value(node, "boxes"))[1] == pytest.approx([0.5, 0.24, 0.5, 0.03])
        return
    pose = editor.add("PoseControlInput", x=700, y=400, people=2, width=256, height=128)
    editor.link(pose, 1, node, "pose")
    _, man = masks_of(editor, node)
    # Now there is a picture to draw over, the pose's, in its shape.
    editor.page.wait_for_function(
        "(e => e.style.backgroundImage.includes('/view?') && e.style.aspectRatio === '256 / 128')"
        "(document.querySelector('.ensemble-stage'))"
    )
    side = man.shape[0]
    rows, columns = man.nonzero()
    x, y, width, height = drawn
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    wanted = [x * side, y * side, (x + width) * side, (y + height) * side]
    assert found == pytest.approx(wanted, abs=1)


def test_boxes_are_made_as_many_as_people(editor):
    first = [0.1, 0.2, 0.3, 0.4]
    boxes = json.dumps([first, [0.5, 0, 0.5, 1]])
    node = editor.add("BreakRegionalPrompt", text="a BREAK b BREAK c BREAK d BREAK e", boxes=boxes)
    expect(editor.page.locator(".ensemble-notes"), "2 boxes and the prompt has 3 people")
    editor.page.get_by_role("button", name="A box for each of 3").click()
    drawn = json.loads(editor.value(node, "boxes"))
    assert len(drawn) == 3 and drawn[0] == first
    editor.page.locator(".ensemble-notes p").wait_for(state="detached")
    editor.set(node, "text", "a BREAK b BREAK c")
    editor.page.get_by_role("button", name="A box for each of 1").click()
    assert json.loads(editor.value(node, "boxes")) == [first]


def test_keys_in_a_panel_are_not_the_editors(both):
    boxes = "[[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]"
    node = both.add("BreakRegionalPrompt", text="a BREAK b BREAK c BREAK d", boxes=boxes)
    both.js("id => app.canvas.selectItems([app.graph.getNodeById(id)])", node)
    both.page.locator(".ensemble-box").first.focus()
    for key in ("Delete", "Backspace", "Control+b", "c"):
        both.page.keyboard.press(key)
    state = both.js("app.graph.nodes.map(n => [n.mode, !!n.flags.collapsed])")
    assert state == [[0, False]] and both.value(node, "boxes") == boxes


def test_linked_boxes_are_drawn_where_they_are_typed(editor):
    boxes = "[[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]"
    node = editor.add("BreakRegionalPrompt", text="a BREAK b BREAK c BREAK d", y=60)
    source = editor.add("PrimitiveString", x=700, value=boxes)
    editor.link(source, 0, node, "boxes")
    editor.changed()
    box = editor.page.locator(".ensemble-box").nth(1)
    box.focus()
    editor.page.keyboard.press("ArrowLeft")
    assert json.loads(editor.value(source, "value"))[1] == [0.48, 0, 0.5, 1]
    assert editor.value(node, "boxes") == ""
    # The boxes are painted anew when the server has read the text, so both are measured at once.
    editor.page.wait_for_function(
        """() => {
            const box = document.querySelectorAll(".ensemble-box")[1];
            const place = part => box?.querySelector(part)?.getBoundingClientRect();
            const [number, corner] = [place("b"), place("[data-handle=nw]")];
            return corner?.width > 0 && number.x >= corner.right;
        }"""
    )
    unknown = editor.add("StringConcatenate", x=700, y=400)
    editor.link(unknown, 0, node, "boxes")
    editor.changed()
    editor.page.locator(".ensemble-boxes").wait_for(state="hidden")


def test_the_stage_has_the_picture_s_shape_and_edges_snap(editor):
    editor.js("app.canvas.ds.scale = 0.7")
    node = editor.add("BreakRegionalPrompt", text="a BREAK b BREAK c BREAK d", y=60)
    latent = editor.add("EmptyLatentImage", x=700, width=512, height=768)
    sampler = editor.add("KSampler", x=1000)
    editor.link(node, 0, sampler, "model")
    editor.link(latent, 0, sampler, "latent_image")
    editor.changed()
    editor.page.get_by_role("button", name="Draw regions").click()
    shape = "document.querySelector('.ensemble-stage').style.aspectRatio === '{}'"
    editor.page.wait_for_function(shape.format("512 / 768"))
    editor.set(latent, "width", 1024)
    editor.changed()
    editor.page.wait_for_function(shape.format("1024 / 768"))
    stage = editor.page.locator(".ensemble-stage").bounding_box()
    mouse = editor.page.mouse
    corner = (stage["x"] + stage["width"] - 4, stage["y"] + stage["height"] - 4)
    for key, height in ((None, 0.3333), ("Alt", 0.3233)):
        mouse.move(*corner)
        if key:
            editor.page.keyboard.down(key)
        mouse.down()
        mouse.move(corner[0], corner[1] - stage["height"] * (1 - 0.3233), steps=5)
        mouse.up()
        if key:
            editor.page.keyboard.up(key)
        drawn = json.loads(editor.value(node, "boxes"))[1]
        assert drawn[:3] == [0.5, 0, 0.5]
        assert drawn[3] == pytest.approx(height, abs=0.006 if key else 1e-4)
        editor.set(node, "boxes", "[[0,0,0.5,1],[0.5,0,0.5,1]]")
        editor.page.wait_for_timeout(300)
    editor.chip("person-2").locator(".ensemble-chip-head").click()
    boxes = "[...document.querySelectorAll('.ensemble-box')].map(e => e.classList.contains('ensemble-chosen'))"
    assert editor.js(boxes) == [False, True]


def test_a_small_box_keeps_its_number_and_a_clicked_one_comes_to_the_front(editor):
    editor.js("app.canvas.ds.scale = 0.7")
    editor.add(
        "BreakRegionalPrompt",
        text="a BREAK b BREAK c BREAK d",
        boxes="[[0.4,0.4,0.03,0.03],[0.3,0.3,0.3,0.3]]",
    )
    small = editor.page.locator(".ensemble-box").first
    small.wait_for(state="attached")
    on_top = (
        "index => { const box = document.querySelectorAll('.ensemble-box')[index], b = box.querySelector('b');"
        " const r = b.getBoundingClientRect(); b.style.pointerEvents = 'auto';"
        " const top = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);"
        " b.style.pointerEvents = ''; return [top === b, r.width > 8, r.height > 8] }"
    )
    assert editor.js(on_top, 0) == [True, True, True]
    front = (
        "() => { const box = document.querySelector('.ensemble-box'), r = box.getBoundingClientRect();"
        " return document.elementFromPoint(r.x + 1, r.y + 1)?.closest('.ensemble-box') === box }"
    )
    assert not editor.js(front)  # the large one lies over it
    small.focus()
    assert editor.js(front)
    colour = small.locator("b").evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor]"
    )
    assert colour[0] == "rgb(0, 0, 0)" and colour[1] == small.evaluate(
        "e => getComputedStyle(e).borderLeftColor"
    )


def test_an_ellipse_an_outline_and_who_is_in_front(both):
    node = both.add("BreakRegionalPrompt", text="a BREAK b BREAK c BREAK d", y=20)
    both.page.locator("[data-key=boxes]").click()
    both.page.locator("[data-key=box-1]").focus()
    both.page.locator("[data-key=shape]").select_option("ellipse")
    both.page.locator("[data-key=front]").click()
    both.page.locator("[data-key=box-0]").focus()
    both.page.locator("[data-key=shape]").select_option("lasso")
    area = both.page.locator(".ensemble-boxes .ensemble-stage").bounding_box()
    corners = [(0.1, 0.2), (0.7, 0.2), (0.7, 0.8), (0.1, 0.8)]
    places = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in corners]
    both.page.mouse.move(*places[0])
    both.page.mouse.down()
    for place in places[1:]:
        both.page.mouse.move(*place)
    both.page.mouse.up()
    first, second = json.loads(both.value(node, "boxes"))
    assert [pytest.approx(point, abs=0.02) for point in corners] == first["lasso"]
    assert second == {"ellipse": [0.5, 0, 0.5, 1], "front": 1}
    # It moves as a box does, and stays as large.
    both.page.locator("[data-key=box-0]").press("ArrowRight")
    moved = json.loads(both.value(node, "boxes"))[0]["lasso"]
    assert [pytest.approx((x + 0.02, y), abs=2e-4) for x, y in first["lasso"]] == moved
    masks = masks_of(both, node)
    height, width = masks.shape[1:]
    at = (int(0.55 * height), int(0.65 * width))
    assert masks[1][at] > 0.95 and masks[0][at] < 0.05, "the ellipse is in front"
    assert masks[0][int(0.5 * height), int(0.3 * width)] > 0.95
    assert masks[1][int(0.03 * height), int(0.97 * width)] < 0.05, "an ellipse has no corner"
