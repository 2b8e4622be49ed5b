"""The bundled workflows: their two forms are one graph, the chain is in all of them, and it switches."""

import json
import shutil

import pytest
from PIL import Image

from dev import finishing
from dev.client import read_graph
from dev.templates import (
    BLUEPRINT,
    WORKFLOWS,
    api_file,
    api_form,
    editor_form,
    editor_graph,
    names,
)

STAGES = (
    "super_resolution",
    "hires_fix",
    "inpaint_faces",
    "face_correct",
    "paste_back",
    "color_grading",
    "film_grain",
)


def editor_file(name: str) -> dict:
    return json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))


def test_every_bundled_workflow_has_both_forms_and_a_thumbnail():
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == set(names())
    assert {path.stem for path in WORKFLOWS.glob("*.jpg")} == set(names())
    assert {path.stem for path in (WORKFLOWS / "api").glob("*.json")} == set(names())


@pytest.mark.parametrize("name", names())
def test_the_editor_form_is_that_of_the_api_graph(server, name):
    info = server.object_info()
    assert read_graph(api_file(name)) == api_form(name, info), "run `python dev templates`"
    assert editor_file(name) == editor_form(name, info), "run `python dev templates`"


def test_the_blueprint_is_the_chain(server):
    file = json.loads(BLUEPRINT.read_text(encoding="utf-8"))
    assert file == finishing.blueprint(server.object_info()), "run `python dev templates`"
    for name in names():
        assert editor_file(name)["definitions"] == file["definitions"]


def test_comfyui_offers_the_blueprint(server):
    offered = server.client.get_json("/global_subgraphs")
    (key,) = (key for key, each in offered.items() if each["name"] == "Finishing")
    assert offered[key]["info"]["node_pack"].endswith("ensemble-portraits")
    served = server.client.get_json(f"/global_subgraphs/{key}")
    assert json.loads(served["data"]) == json.loads(BLUEPRINT.read_text(encoding="utf-8"))


def test_multi_person_has_at_most_14_nodes_with_every_stage_on():
    nodes = editor_file("multi_person")["nodes"]
    assert len([node for node in nodes if node["type"] != "MarkdownNote"]) <= 14
    (host,) = (node for node in nodes if node["title"] == "Finishing")
    face = [socket["name"] for socket in host["inputs"]]
    assert [name for name in face if name in STAGES] == list(STAGES)


@pytest.mark.parametrize("name", names())
def test_every_named_file_is_listed_with_its_link(name):
    nodes = editor_file(name)["nodes"]
    (note,) = (node for node in nodes if node["type"] == "MarkdownNote")
    listed = {m["name"]: m for node in nodes for m in node["properties"].get("models", [])}
    for model in listed.values():
        assert set(model) == {"name", "url", "directory"}
        assert model["url"].startswith("https://") and model["url"].endswith(model["name"])
        assert f"({model['url']})" in note["widgets_values"][0]
    wanted = {
        value
        for node in editor_graph(name).values()
        for value in node["inputs"].values()
        if isinstance(value, str) and value.endswith(".safetensors")
    }
    assert wanted <= set(listed)


@pytest.fixture(scope="module")
def page(server):
    """The editor, open in a real browser."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = browser.new_page()
        page.set_default_timeout(120_000)  # a busy machine takes a minute
        page.goto(server.url)
        page.wait_for_function("window.app && window.app.graph && window.app.canvas")
        page.wait_for_timeout(2000)
        yield page
        browser.close()


needs_browser = pytest.mark.skipif(
    not shutil.which("chromium"), reason="needs chromium on the PATH"
)
OPEN = """async workflow => {
    await app.loadGraphData(workflow)
    return (await app.graphToPrompt()).output
}"""
# Widgets of the editor's top level are set as a user would set them: by node and name.
SET = """async changes => {
    for (const [type, name, value] of changes) {
        const node = app.graph.nodes.find((each) => [each.title, each.type].includes(type))
        node.widgets.find((each) => each.name === name).value = value
    }
    return (await app.graphToPrompt()).output
}"""


@pytest.mark.browser
@needs_browser
@pytest.mark.parametrize("name", names())
def test_the_front_end_flattens_the_editor_form_to_the_api_form(page, name):
    found = page.evaluate(OPEN, editor_file(name))
    expected = {key: shape(node) for key, node in read_graph(api_file(name)).items()}
    assert with_keys(found, list(editor_graph(name))) == expected


@pytest.mark.browser
@needs_browser
def test_every_stage_is_switched_on_the_face_of_the_subgraph(page):
    page.evaluate(OPEN, editor_file("lora_multi"))
    keys = list(editor_graph("lora_multi"))
    for stage in STAGES:
        for value in (True, False):
            graph = with_keys(page.evaluate(SET, [["Finishing", stage, value]]), keys)
            on = {each for each in STAGES if graph[finishing.PREFIX + each][2]["switch"]}
            assert on == ({stage} if value else set())


@pytest.mark.browser
@needs_browser
def test_the_editor_queues_the_workflow_and_lists_the_blueprint(page, server):
    page.evaluate(OPEN, editor_file("lora_multi"))
    page.evaluate(
        SET,
        [
            ["CheckpointLoaderSimple", "ckpt_name", "small_sd15.safetensors"],
            ["MultiLoraLoader", "loras", "ganyu-lora"],
            ["MultiLoraLoader", "strengths", "1"],
            ["EmptyLatentImage", "width", 128],
            ["EmptyLatentImage", "height", 64],
            ["EnsembleSampler", "steps", 1],
            ["Finishing", "super_resolution", True],
            ["Finishing", "film_grain", True],
        ],
    )
    before = set(server.client.get_json("/history"))
    page.evaluate("() => app.queuePrompt(0, 1)")
    for _ in range(240):
        page.wait_for_timeout(500)
        done = [run for key, run in server.client.get_json("/history").items() if key not in before]
        if done:
            break
    (run,) = done
    assert run["status"]["status_str"] == "success", run["status"]
    images = (image for each in run["outputs"].values() for image in each.get("images", ()))
    (saved,) = (image for image in images if image["type"] == "output")  # FilmGrain shows one, too
    picture = Image.open(server.base / "output" / saved["subfolder"] / saved["filename"])
    assert picture.size == (256, 128)
    listed = page.evaluate(
        """() => {
            const { $pinia } = document.querySelector('#vue-app').__vue_app__.config.globalProperties
            return $pinia._s.get('subgraph').subgraphBlueprints.map((each) => each.display_name)
        }"""
    )
    assert "Finishing" in listed


def shape(node: dict) -> tuple:
    return node["class_type"], node["_meta"]["title"], node["inputs"]


def with_keys(graph: dict, keys: list[str]) -> dict:
    """The editor's numbers, "8" and "8:103", back to the keys of the API file."""
    inside = [finishing.PREFIX + key for key in finishing.chain()["nodes"]]

    def key(number: str) -> str:
        host, _, inner = number.partition(":")
        return inside[int(inner) - finishing.FIRST_ID] if inner else keys[int(host) - 1]

    return {
        key(number): shape(
            node
            | {
                "inputs": {
                    name: [key(value[0]), value[1]] if isinstance(value, list) else value
                    for name, value in node["inputs"].items()
                }
            }
        )
        for number, node in graph.items()
    }
