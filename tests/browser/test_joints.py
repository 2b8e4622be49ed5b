"""PoseControlInput in the editor: joints moved by hand."""

import json
from io import BytesIO
from itertools import count

import numpy as np
import pytest
from PIL import Image

from .test_people import expect

SIZE = (384, 256)
L_WRIST, R_WRIST = 7, 4
MARGINS = count(10)


def two_people(editor) -> tuple[str, str]:
    """The node with its map saved, run once."""
    editor.js("() => { app.canvas.ds.scale = 0.75 }")
    width, height = SIZE
    # Another margin each time: a node whose result is kept from an earlier test shows nothing.
    values = {"people": 2, "width": width, "height": height, "margin": next(MARGINS) / 100}
    node = editor.add("PoseControlInput", x=60, y=40, **values)
    save = editor.add("SaveImage", x=900, y=60, filename_prefix="joints")
    editor.link(node, 0, save, "images")
    start = editor.page.get_by_role("button", name="Move joints")
    start.wait_for()
    assert start.is_disabled()
    expect(editor.page.locator(".ensemble-bodies .ensemble-hint"), "run the graph once")
    map_of(editor, save)
    editor.page.wait_for_function(
        "!document.querySelector('.ensemble-bodies [data-key=joints]').disabled"
    )
    return node, save


def map_of(editor, save: str) -> np.ndarray:
    entry = editor.queue()
    assert entry["status"]["status_str"] == "success", entry["status"]
    (image,) = entry["outputs"][save]["images"]
    query = f"filename={image['filename']}&subfolder={image['subfolder']}&type=output"
    data = editor.page.request.get(f"{editor.url}/view?{query}").body()
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def bodies(editor, node: str) -> list:
    return json.loads(editor.value(node, "joints") or "[]")


def dot(editor, body: int, joint: int):
    return editor.page.locator(f'[data-key="joint-{body}-{joint}"]')


def start(editor) -> None:
    editor.page.get_by_role("button", name="Move joints").click()
    dot(editor, 1, L_WRIST).wait_for()


def drag(editor, body: int, joint: int, by: tuple[float, float], shift: bool = False) -> None:
    """By parts of the picture, in several steps."""
    area = editor.page.locator(".ensemble-bodies .ensemble-stage").bounding_box()
    place = dot(editor, body, joint).bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    mouse, keys = editor.page.mouse, editor.page.keyboard
    mouse.move(x, y)
    mouse.down()
    if shift:
        keys.down("Shift")
    mouse.move(x + by[0] * area["width"], y + by[1] * area["height"], steps=5)
    mouse.up()
    if shift:
        keys.up("Shift")


def drawn(text: str) -> np.ndarray:
    from ensemble_portraits.ensemble.pose.draw import draw
    from ensemble_portraits.ensemble.pose.joints import pose_of, read_joints

    return draw(pose_of(read_joints(text), *SIZE))


def test_a_joint_that_is_dragged_arrives_in_the_map(both):
    node, save = two_people(both)
    start(both)
    before = bodies(both, node)
    assert len(before) == 2
    before_map = map_of(both, save)
    assert (before_map == drawn(both.value(node, "joints"))).all()
    drag(both, 1, L_WRIST, (0.1, -0.3))
    after = bodies(both, node)
    x, y = before[1][L_WRIST]
    assert after[1][L_WRIST] == pytest.approx([x + 0.1, y - 0.3], abs=0.01)
    after[1][L_WRIST] = before[1][L_WRIST]
    assert after == before, "one joint is dragged, and no other moves"
    text = both.value(node, "joints")
    assert both.api()[node]["inputs"]["joints"] == text
    after_map = map_of(both, save)
    assert (after_map == drawn(text)).all() and (after_map != before_map).any()
    # The node's own preview is what is drawn over now, in its shape.
    both.page.wait_for_function(
        "(e => e.style.backgroundImage.includes('/view?') && e.style.aspectRatio === '384 / 256')"
        "(document.querySelector('.ensemble-bodies .ensemble-stage'))"
    )
    drag(both, 0, 1, (0.05, 0.02), shift=True)
    moved = np.array(bodies(both, node))
    assert moved[0] - np.array(before[0]) == pytest.approx(
        np.tile(moved[0][1] - np.array(before[0][1]), (18, 1)), abs=2e-4
    )
    assert moved[0][1] - np.array(before[0][1]) == pytest.approx([0.05, 0.02], abs=0.01)


def test_joints_move_and_go_by_keys(editor):
    node, _ = two_people(editor)
    start(editor)
    x, y = bodies(editor, node)[1][L_WRIST]
    wrist = dot(editor, 1, L_WRIST)
    wrist.focus()
    for key in ["ArrowRight"] * 3 + ["ArrowUp"] * 2:
        editor.page.keyboard.press(key)
    assert bodies(editor, node)[1][L_WRIST] == pytest.approx([x + 0.03, y - 0.02], abs=1e-4)
    label = wrist.get_attribute("aria-label")
    assert label.startswith("Left wrist of body 2: ") and f"{round((x + 0.03) * 100)} %" in label
    editor.page.keyboard.press("Shift+ArrowDown")
    neck = bodies(editor, node)[1][1]
    for key in ["ArrowLeft"] * 120:
        editor.page.keyboard.press(key)
    assert bodies(editor, node)[1][L_WRIST][0] == 0, "it stays in the picture"
    assert bodies(editor, node)[1][1] == neck
    editor.page.keyboard.press("Delete")
    assert bodies(editor, node)[1][L_WRIST] is None and wrist.count() == 0
    # The focus is on the next joint, and so the node is safe from the next Delete.
    editor.page.keyboard.press("Delete")
    assert sum(xy is None for xy in bodies(editor, node)[1]) == 2
    assert editor.js("app.graph.nodes.length") == 2
    editor.page.get_by_role("button", name="Back to the picture's pose").click()
    assert editor.value(node, "joints") == ""
    assert editor.page.locator(".ensemble-joint").count() == 0


def test_a_drag_is_one_step_of_undo_and_a_reload_keeps_it(both):
    node, _ = two_people(both)
    start(both)
    first = both.value(node, "joints")
    both.changed()
    drag(both, 0, L_WRIST, (-0.1, -0.2))
    second = both.value(node, "joints")
    assert second != first
    both.run_command("Comfy.Undo")
    both.page.wait_for_function("id => app.graph.getNodeById(id)", arg=node)
    assert both.value(node, "joints") == first
    left = f"{round(json.loads(first)[0][L_WRIST][0] * 100, 2)}%"
    both.page.wait_for_function(
        "([key, left]) => { const dots = document.querySelectorAll(`[data-key='${key}']`);"
        " return dots.length === 1 && parseFloat(dots[0].style.left) === parseFloat(left) }",
        arg=[f"joint-0-{L_WRIST}", left],
    )
    both.run_command("Comfy.Redo")
    assert both.value(node, "joints") == second
    saved = both.state()
    both.page.evaluate("window.onbeforeunload = null")
    both.open()
    both.load(saved)
    dot(both, 1, L_WRIST).wait_for()
    # The editor may still be putting back what it had open before.
    both.page.wait_for_function(
        "([id, joints]) => app.graph.getNodeById(id)?.widgets"
        ".find(w => w.name === 'joints').value === joints",
        arg=[node, second],
    )
    assert both.api()[node]["inputs"]["joints"] == second
    # No run yet, so no picture: the stage has the shape of the widgets.
    shape = both.page.locator(".ensemble-bodies .ensemble-stage").evaluate(
        "e => e.style.aspectRatio"
    )
    assert shape == "384 / 256"


def test_text_that_is_no_body_is_told_and_can_be_cleared(editor):
    node = editor.add("PoseControlInput", joints="[[1]]")
    hint = editor.page.locator(".ensemble-bodies .ensemble-hint")
    expect(hint, "no bodies that can be drawn")
    editor.page.get_by_role("button", name="Back to the picture's pose").click()
    assert editor.value(node, "joints") == ""
    expect(hint, "run the graph once")


def test_linked_joints_are_moved_where_they_are_typed(editor):
    body = [[0.5, 0.5]] * 18
    node = editor.add("PoseControlInput")
    source = editor.add("PrimitiveString", x=700, value=json.dumps([body]))
    editor.link(source, 0, node, "joints")
    editor.changed()
    dot(editor, 0, L_WRIST).press("ArrowLeft")
    assert json.loads(editor.value(source, "value"))[0][L_WRIST] == [0.49, 0.5]
    assert editor.value(node, "joints") == ""
    unknown = editor.add("StringConcatenate", x=700, y=400)
    editor.link(unknown, 0, node, "joints")
    editor.changed()
    expect(editor.page.locator(".ensemble-bodies .ensemble-hint"), "the joints come from")
    assert editor.page.locator(".ensemble-joint").count() == 0


def test_the_skeleton_and_its_colours_are_those_of_the_map(editor):
    from ensemble_portraits.ensemble.pose.draw import COLOURS, LIMB_COLOURS
    from ensemble_portraits.ensemble.pose.skeleton import LIMBS
    from ensemble_portraits.ensemble.regions.body18 import Joint

    names, limbs = editor.js(
        "async () => { const src = [...document.querySelectorAll('link')]"
        ".find(l => l.href.endsWith('ensemble.css')).href;"
        " const m = await import(new URL('../js/joints.js', src)); return [m.JOINTS, m.LIMBS] }"
    )
    sides = {"R_": "right", "L_": "left"}
    wanted = [sides.get(j.name[:2], "") + j.name.split("_")[-1].capitalize() for j in Joint]
    assert [name[0].upper() + name[1:] for name in names] == [w[0].upper() + w[1:] for w in wanted]
    assert [tuple(limb) for limb in limbs] == list(LIMBS)
    body = [[round(0.05 * i + 0.05, 2), 0.5] for i in range(18)]
    editor.add("PoseControlInput", joints=json.dumps([body]))
    dot(editor, 0, 17).wait_for()
    joints = editor.js(
        "[...document.querySelectorAll('.ensemble-joint')]"
        ".map(e => getComputedStyle(e).backgroundColor)"
    )
    assert joints == [f"rgb({r}, {g}, {b})" for r, g, b in COLOURS.tolist()]
    lines = editor.js(
        "[...document.querySelectorAll('.ensemble-bodies line')]"
        ".map(e => getComputedStyle(e).stroke)"
    )
    assert lines[len(LIMBS) :] == [f"rgb({r}, {g}, {b})" for r, g, b in LIMB_COLOURS.tolist()]


def test_bodies_are_added_turned_completed_and_removed_before_any_run(both):
    node = both.add("PoseControlInput", x=60, y=40, width=768, height=512)
    poses = both.page.locator("[data-key=pose]")
    both.page.wait_for_function("document.querySelectorAll('[data-key=pose] option').length > 5")
    poses.select_option("standing")
    poses.select_option("waving")
    assert len(bodies(both, node)) == 2
    dot(both, 1, L_WRIST).focus()
    before = bodies(both, node)[1]
    both.page.get_by_role("button", name="Mirror body 2").click()
    after = bodies(both, node)[1]
    # Who raised the right hand raises the left one, on the other side.
    middle = (min(x for x, _ in before) + max(x for x, _ in before)) / 2
    assert after[L_WRIST] == pytest.approx(
        [2 * middle - before[R_WRIST][0], before[R_WRIST][1]], abs=2e-4
    )
    dot(both, 1, L_WRIST).press("Delete")
    assert bodies(both, node)[1][L_WRIST] is None
    both.page.get_by_role("button", name="Complete body 2").click()
    both.page.wait_for_function(
        "id => JSON.parse(app.graph.getNodeById(id).widgets.find(w => w.name === 'joints').value)"
        "[1].every(Boolean)",
        arg=node,
    )
    both.page.get_by_role("button", name="Remove body 2").click()
    assert len(bodies(both, node)) == 1
    save = both.add("SaveImage", x=900, y=60, filename_prefix="joints")
    both.link(node, 0, save, "images")
    shown = map_of(both, save)
    assert shown.shape == (512, 768, 3) and shown.any()
