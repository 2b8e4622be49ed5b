"""example_workflows/NAME.json for the editor, made from example_workflows/api/NAME.json: one source for both forms.

What an API graph cannot say (the note, which public files its loaders want, muted nodes beside it, the groups
on the canvas, what app mode shows) is in templates.json. The finishing chain of all of them, and its blueprint, come from finishing.json.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from ensemble.recipes.definitions import complete
from ensemble.recipes.editor import to_editor
from ensemble.recipes.graph import ApiGraph

from . import finishing
from .arrange import arrange, note_place
from .base import prepare_base
from .cache import ROOT
from .client import Client, read_graph
from .engine import Engine
from .server import Server

WORKFLOWS = ROOT / "example_workflows"
BLUEPRINT = ROOT / "subgraphs" / "Finishing.json"
_MUTED, _BYPASSED = 2, 4


def names() -> list[str]:
    return list(extras())


@cache
def extras() -> dict[str, Any]:
    return json.loads((ROOT / "dev" / "templates.json").read_text(encoding="utf-8"))


def api_file(name: str) -> Path:
    return WORKFLOWS / "api" / f"{name}.json"


def api_form(name: str, object_info: dict[str, Any]) -> ApiGraph:
    """The API graph with its chain from the source, and with inputs that nodes got meanwhile."""
    graph = finishing.normal(read_graph(api_file(name)))
    complete(graph, object_info)
    return graph


def editor_graph(name: str) -> ApiGraph:
    """The nodes the editor shows at its top level: the chain as one, muted nodes in front. Those that
    are `bypassed` stand between others and let through what they get."""
    muted = extras()[name].get("muted", {})
    graph = finishing.folded(read_graph(api_file(name)))
    for key, links in muted.get("links", {}).items():
        node = graph[key]
        graph[key] = {**node, "inputs": {**node["inputs"], **links}}
    return _sources_first({**muted.get("nodes", {}), **graph})


def _sources_first(graph: ApiGraph) -> ApiGraph:
    """The nodes in an order in which each comes after those it is linked to."""
    done: ApiGraph = {}
    while len(done) < len(graph):
        for key, node in graph.items():
            sources = {value[0] for value in node["inputs"].values() if isinstance(value, list)}
            if key not in done and sources <= done.keys():
                done[key] = node
    return done


def editor_form(name: str, object_info: dict[str, Any]) -> dict[str, Any]:
    """The editor's workflow of one bundled API graph, with its note and model links."""
    about = extras()[name]
    muted = about.get("muted", {})
    graph = editor_graph(name)
    chain = finishing.identity("definition")
    workflow = to_editor(graph, {**object_info, chain: finishing.host_info()})
    for key, node in zip(graph, workflow["nodes"], strict=True):
        if key in about["models"]:
            node["properties"]["models"] = about["models"][key]
        if key in muted.get("nodes", {}):
            node["mode"] = _BYPASSED if key in muted.get("bypassed", ()) else _MUTED
        if key == finishing.HOST:
            finishing.dress(node)
    placed = dict(zip(graph, workflow["nodes"], strict=True))
    workflow["groups"] = arrange(placed, about["groups"])
    workflow["nodes"].append(
        _note(len(graph) + 1, about["note"], *note_place(workflow["groups"], about["note"]))
    )
    workflow["last_node_id"] += 1
    if app := about.get("app"):
        workflow["extra"]["linearData"] = {
            "inputs": [[placed[key]["id"], widget] for key, widget in app["inputs"]],
            "outputs": [placed[key]["id"] for key in app["outputs"]],
        }
    workflow["definitions"] = {"subgraphs": [finishing.definition(object_info)]}
    return workflow


def _note(number: int, text: str, place: list[int], size: list[int]) -> dict[str, Any]:
    return {
        "id": number, "type": "MarkdownNote", "title": "Read me",
        "pos": place, "size": size, "flags": {}, "order": number - 1,
        "mode": 0, "inputs": [], "outputs": [], "properties": {}, "widgets_values": [text],
        "color": "#432", "bgcolor": "#653",
    }  # fmt: skip


def run(engine: Engine, *_: object) -> int:
    """Write every bundled form anew."""
    with Server(engine, prepare_base(engine)) as server:
        info = Client(server.url).object_info()
    forms = {BLUEPRINT: (finishing.blueprint(info), 1)}
    for name in names():
        forms[api_file(name)] = api_form(name, info), 2
        forms[WORKFLOWS / f"{name}.json"] = editor_form(name, info), 1
    for target, (value, indent) in forms.items():
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")
        print(target)
    return 0
