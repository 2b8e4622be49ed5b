"""What people do to graphs, recipes that become graphs, and pictures that bring them back."""

import json
from pathlib import Path

from dev.cache import ROOT

from .test_people import expect

PROMPT = "a park BREAK photo BREAK a woman <lora:ohwx_first:0.8> BREAK a man"
BOXES = "[[0.5,0,0.5,1],[0.1,0.2,0.3,0.4]]"
LORAS = {"loras": "zed,more_details", "strengths": "0.5,0"}
RECIPES = Path(__file__).resolve().parent.parent / "fixtures" / "recipes"
RECIPE = (
    "a park BREAK photo BREAK a woman <lora:ohwx_first:0.8> BREAK a man\n"
    "w=128\nh=128\nsteps=2\nscheduler=euler\nseed=7"
)


def two_nodes(editor) -> tuple[str, str]:
    people = editor.add("BreakRegionalPrompt", text=PROMPT, order="2,1", boxes=BOXES)
    loras = editor.add("MultiLoraLoader", x=700, **LORAS)
    return people, loras


def values(editor) -> dict[str, dict]:
    """Widget values as they are sent, by class, of every node in the graph."""
    return {node["class_type"]: node["inputs"] for node in editor.api().values()}


def shown(editor) -> None:
    expect(editor.chip("person-1"), "ohwx_first 0.8")
    expect(editor.chip("person-1"), "right")
    editor.wait_rows(("zed", True, 0.5), ("more_details", False, 0.6))


def prepared(editor) -> tuple[str, str]:
    people, loras = two_nodes(editor)
    # A row at 0.6, switched off, remembers its strength.
    editor.set(loras, "strengths", "0.5,0.6")
    editor.wait_rows(("zed", True, 0.5), ("more_details", True, 0.6))
    editor.page.get_by_label("more_details on").press("Space")
    shown(editor)
    return people, loras


def test_saving_and_loading_keeps_everything(both):
    prepared(both)
    sent, saved = values(both), both.state()
    both.load({"nodes": [], "links": [], "version": 0.4})
    both.page.locator(".ensemble").first.wait_for(state="detached")
    both.load(saved)
    shown(both)
    assert values(both) == sent
    people = next(node for node in saved["nodes"] if node["type"] == "BreakRegionalPrompt")
    # What we draw is not among what is saved: the last are the node's own inputs.
    assert people["widgets_values"][-11:] == [
        BOXES, "own", 0, 0, 0.5, False, "none", 1, 0, 0.2, 0.5,
    ]  # fmt: skip


def test_a_reloaded_page_has_it_all(editor):
    prepared(editor)
    sent, saved = values(editor), editor.state()
    editor.page.evaluate("window.onbeforeunload = null")
    editor.open()
    editor.load(saved)
    shown(editor)
    assert values(editor) == sent


def test_copies_carry_the_state(both):
    prepared(both)
    both.js("() => { app.canvas.selectItems(); app.canvas.copyToClipboard();"
            " app.canvas.pasteFromClipboard(); }")  # fmt: skip
    both.page.wait_for_function("app.graph.nodes.length === 4")
    nodes = both.js(
        "app.graph.serialize().nodes.map(n => [n.type, n.widgets_values, n.properties])"
    )
    by_kind = {}
    for kind, widgets, properties in nodes:
        by_kind.setdefault(kind, []).append((widgets, properties.get("ensemble.resting")))
    assert all(first == second for first, second in by_kind.values())
    assert both.page.locator(".ensemble").count() == 4


def test_undo_brings_back_text_boxes_and_rows(editor):
    people, _ = prepared(editor)
    editor.changed()
    editor.page.get_by_role("button", name="Remove boxes").click()
    assert editor.value(people, "boxes") == ""
    editor.page.get_by_label("Remove zed").click()
    editor.wait_rows(("more_details", False, 0.6))
    editor.run_command("Comfy.Undo")
    shown(editor)
    editor.run_command("Comfy.Undo")
    editor.page.locator(".ensemble-box").nth(1).wait_for()
    assert values(editor)["BreakRegionalPrompt"]["boxes"] == BOXES
    editor.run_command("Comfy.Redo")
    editor.page.get_by_role("button", name="Draw regions").wait_for()


def test_bypass_leaves_the_state_alone(editor):
    people, _ = prepared(editor)
    before = editor.state()
    editor.js("id => { app.canvas.selectItems([app.graph.getNodeById(id)]) }", people)
    editor.run_command("Comfy.Canvas.ToggleSelectedNodes.Bypass")
    assert people not in editor.api()
    editor.run_command("Comfy.Canvas.ToggleSelectedNodes.Bypass")
    after = editor.state()
    assert [n["widgets_values"] for n in after["nodes"]] == [
        n["widgets_values"] for n in before["nodes"]
    ]
    shown(editor)


def test_a_subgraph_keeps_and_shows_the_state(editor):
    prepared(editor)
    sent = values(editor)
    editor.js("() => { app.canvas.selectItems(); app.graph.convertToSubgraph("
              "app.canvas.selectedItems) }")  # fmt: skip
    assert values(editor) == sent
    saved = editor.state()
    editor.load(saved)
    assert values(editor) == sent
    editor.js("() => { app.canvas.openSubgraph([...app.graph.subgraphs.values()][0],"
              " app.graph.nodes[0]) }")  # fmt: skip
    shown(editor)
    editor.js("() => app.canvas.setGraph(app.rootGraph)")


def test_inside_a_subgraph_the_chips_show_what_is_queued_from_outside(both):
    node = both.add("BreakRegionalPrompt", text="inner BREAK photo BREAK a woman BREAK a man")
    both.js("id => { app.canvas.selectNode(app.graph.getNodeById(id));"
            " app.graph.convertToSubgraph(app.canvas.selectedItems);"
            " const host = app.graph.nodes[0], inside = host.subgraph, node = inside.nodes[0];"
            " const at = node.inputs.findIndex(i => i.name === 'text');"
            " inside.addInput('text', 'STRING').connect(node.inputs[at], node);"
            " host.widgets[0].value = 'outer BREAK photo BREAK a child' }", node)  # fmt: skip
    both.load(both.state())
    both.js("() => app.canvas.openSubgraph(app.graph.nodes[0].subgraph, app.graph.nodes[0])")
    expect(both.chip("base"), "outer")
    expect(both.chip("person-1"), "a child")
    assert both.chip("person-2").count() == 0
    both.js("() => { app.rootGraph.nodes[0].widgets[0].value += ' BREAK a dog' }")
    expect(both.chip("person-2"), "a dog")
    # With two of it, each with a text of its own, nobody knows whose it is.
    both.js("() => { const two = LiteGraph.createNode(app.rootGraph.nodes[0].type);"
            " two.pos = [0, 800]; app.rootGraph.add(two) }")  # fmt: skip
    both.changed()
    both.page.get_by_text("is read when the graph runs").wait_for(state="attached")
    both.js("() => app.canvas.setGraph(app.rootGraph)")


def test_nodes_that_are_gone_leave_no_more_behind_than_cores(editor):
    devtools = editor.page.context.new_cdp_session(editor.page)

    def left(kind: str) -> tuple[int, int]:
        """Elements and listeners that three nodes leave behind."""

        def count() -> dict[str, int]:
            for _ in range(3):
                devtools.send("HeapProfiler.collectGarbage")
                editor.page.wait_for_timeout(100)
            return devtools.send("Memory.getDOMCounters")

        def come_and_go(times: int) -> None:
            nodes = [editor.add(kind) for _ in range(times)]
            editor.page.wait_for_timeout(500)
            for node in nodes:
                editor.js("id => app.graph.remove(app.graph.getNodeById(id))", node)
            editor.page.wait_for_timeout(300)

        come_and_go(2)
        before = count()
        come_and_go(3)
        after = count()
        return tuple(after[key] - before[key] for key in ("nodes", "jsEventListeners"))

    core, _ = left("CLIPTextEncode")
    # An element for each panel, and what core keeps of each text box.
    for kind, boxes in (
        ("BreakRegionalPrompt", 2),
        ("MultiLoraLoader", 1),
        ("PoseControlInput", 0),
    ):
        elements, listeners = left(kind)
        assert elements <= boxes * core + 3 * 4, kind
        assert listeners < 3, kind


def test_the_browser_of_templates_opens_one(editor):
    editor.run_command("Comfy.BrowseTemplates")
    editor.page.get_by_text("ensemble-portraits").first.click()
    card = editor.page.locator('[data-testid="template-workflow-multi_person"]')
    card.wait_for()
    card.click()
    editor.look_at("BreakRegionalPrompt")
    expect(editor.chip("person-2"), "")
    sent = {node["class_type"] for node in editor.api().values()}
    file = json.loads((ROOT / "example_workflows" / "api" / "multi_person.json").read_text())
    assert sent == {node["class_type"] for node in file.values()}


def test_a_template_gets_its_sample_picture(both):
    workflow = json.loads((ROOT / "example_workflows" / "masked_portrait.json").read_text("utf-8"))
    both.load(workflow)
    find = "app.graph.nodes.find(n => n.type === 'LoadImage')"
    buttons = f"{find}.widgets.filter(w => w.type === 'button' && w.name.startsWith('Load the'))"
    assert both.js(f"{buttons}.length") == 1
    sent = values(both)["LoadImage"]
    assert set(sent) <= {"image", "upload"}  # the button is neither sent ...
    count = both.js(f"{find}.serialize().widgets_values.length")
    assert count == len(
        next(n for n in workflow["nodes"] if n["type"] == "LoadImage")["widgets_values"]
    )
    both.js(f"{buttons}[0].callback()")  # ... nor saved
    both.page.wait_for_function(f"{find}.widgets[0].value === 'astronaut.jpg'")
    both.page.wait_for_function(f"{buttons}.length === 0")
    listed = both.js("async () => (await (await fetch('/object_info/LoadImage')).json())")
    # Nothing is left of the editor's complaint about the missing picture.
    missing = "document.querySelector('#vue-app').__vue_app__.config.globalProperties.$pinia"
    both.page.wait_for_function(f"!{missing}._s.get('missingMedia').hasMissingMedia")
    assert "astronaut.jpg" in listed["LoadImage"]["input"]["required"]["image"][0]
