"""The bundled workflows: their two forms are one graph, the chain is in all of them, and it switches."""

import json
import shutil

import pytest

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


@pytest.mark.browser
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium on the PATH")
def test_the_front_end_flattens_the_editor_form_to_the_api_form(server):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        page = browser.new_page()
        page.goto(server.url)
        page.wait_for_function("window.app && window.app.graph && window.app.canvas")
        page.wait_for_timeout(2000)
        for name in names():
            found = page.evaluate(
                "async workflow => { await app.loadGraphData(workflow);"
                " return (await app.graphToPrompt()).output }",
                editor_file(name),
            )
            expected = {k: shape(node) for k, node in read_graph(api_file(name)).items()}
            assert with_keys(found, list(editor_graph(name))) == expected, name
        browser.close()


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
