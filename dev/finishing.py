"""The finishing chain: one subgraph, in a file of its own and inside every bundled workflow.

finishing.json has its nodes in API form. There a link to `["face", NAME]` is an input of the subgraph:
a socket, or a widget on its face with a default. In a workflow's API form the chain is flat, as the
front end flattens a subgraph, under keys that begin with `finish:`.
"""

import copy
import json
import uuid
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ensemble.recipes.editor import to_editor
from ensemble.recipes.graph import ApiGraph

from .cache import ROOT

SOURCE = ROOT / "dev" / "finishing.json"
HOST = "finish"
PREFIX = f"{HOST}:"
FACE, OUTPUT = "face", "output"
_UNLINKED = object()
# The numbers litegraph gives the two ends of every subgraph.
_INPUT_NODE, _OUTPUT_NODE = -10, -20
# Above the ids of any workflow that holds the chain, or the editor numbers nodes and links anew.
FIRST_ID = 101
_BEFORE_LINKS = 1000
_NAMES = uuid.UUID("6f1c2f7e-53a4-4c7e-9d5b-3a1f0a7c9b21")


@cache
def chain() -> dict[str, Any]:
    """`face`: name -> type and default; `nodes`: API form; `output`: what leaves the subgraph."""
    return json.loads(SOURCE.read_text(encoding="utf-8"))


def identity(name: str) -> str:
    """The same id every time, so that a workflow and the blueprint share the definition."""
    return str(uuid.uuid5(_NAMES, name))


def values_in(graph: ApiGraph) -> dict[str, Any]:
    """What a flat chain in `graph` has on its face: links and widget values by name."""
    found: dict[str, Any] = {}
    for key, node in chain()["nodes"].items():
        given = graph.get(PREFIX + key, {}).get("inputs", {})
        for name, value in node["inputs"].items():
            if _is_face(value) and name in given:
                found.setdefault(value[1], given[name])
    defaults = {k: v["default"] for k, v in chain()["face"].items() if "default" in v}
    return {**defaults, **found}


def normal(graph: ApiGraph) -> ApiGraph:
    """`graph` with its chain written anew from the source, around the values on its face."""
    nodes = flat(values_in(graph))
    first = next((key for key in graph if key.startswith(PREFIX)), None)
    result: ApiGraph = {}
    for key, node in graph.items():
        if key == first:
            result |= nodes
        elif key not in nodes:
            result[key] = node
    return result


def flat(values: Mapping[str, Any]) -> ApiGraph:
    """The chain's nodes for the API form. A socket without a value stays unlinked."""

    def given(value: Any) -> Any:
        if _is_face(value):
            return values.get(value[1], _UNLINKED)
        return [PREFIX + value[0], value[1]] if isinstance(value, list) else value

    nodes = _with_inputs(copy.deepcopy(chain()["nodes"]), given)
    return {PREFIX + key: node for key, node in nodes.items()}


def definition(object_info: Mapping[str, Any]) -> dict[str, Any]:
    """The subgraph as the editor stores it: its nodes, and what its two ends are linked to."""
    face = chain()["face"]

    def numbered(value: Any) -> Any:
        return [FACE, list(face).index(value[1])] if _is_face(value) else value

    ends = {
        FACE: _end(FACE, {}),
        **_with_inputs(chain()["nodes"], numbered),
        OUTPUT: _end(OUTPUT, {"IMAGE": chain()["output"]}),
    }
    kinds = [each["type"] for each in face.values()]
    known = {
        **object_info,
        FACE: {"input": {}, "output": kinds, "output_name": list(face)},
        OUTPUT: {"input": {"required": {"IMAGE": ["IMAGE"]}}, "output": [], "output_name": []},
    }
    whole = _renumbered(to_editor(ends, known))
    first, *nodes, end = whole["nodes"]
    numbers = {first["id"]: _INPUT_NODE, end["id"]: _OUTPUT_NODE}
    for number, node in enumerate(nodes, FIRST_ID):
        numbers[node["id"]] = number
        node["id"] = number
    links = [
        {
            "id": number,
            "origin_id": numbers[source], "origin_slot": out,
            "target_id": numbers[target], "target_slot": at,
            "type": kind,
        }
        for number, source, out, target, at, kind in whole["links"]
    ]  # fmt: skip
    last_node, last_link = FIRST_ID + len(nodes) - 1, whole["last_link_id"]
    inputs = [
        _socket("input", name, each["type"], slot["links"])
        for (name, each), slot in zip(face.items(), first["outputs"], strict=True)
    ]
    return {
        "id": identity("definition"),
        "version": 1,
        "state": {
            "lastGroupId": 0, "lastNodeId": last_node, "lastLinkId": last_link, "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": chain()["name"],
        "description": chain()["description"],
        "category": chain()["category"],
        "inputNode": {"id": _INPUT_NODE, "bounding": [*first["pos"], 200, 20 * len(face) + 40]},
        "outputNode": {"id": _OUTPUT_NODE, "bounding": [*end["pos"], 120, 60]},
        "inputs": inputs,
        "outputs": [_socket("output", "IMAGE", "IMAGE", [end["inputs"][0]["link"]])],
        "widgets": [],
        "nodes": nodes,
        "groups": [],
        "links": links,
        "extra": {},
    }  # fmt: skip


def _renumbered(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow with its links numbered from above _BEFORE_LINKS."""
    for link in workflow["links"]:
        link[0] += _BEFORE_LINKS
    for node in workflow["nodes"]:
        for socket in node.get("inputs", ()):
            if socket.get("link") is not None:
                socket["link"] += _BEFORE_LINKS
        for socket in node.get("outputs", ()):
            socket["links"] = [link + _BEFORE_LINKS for link in socket["links"] or ()]
    workflow["last_link_id"] += _BEFORE_LINKS
    return workflow


def _socket(side: str, name: str, kind: str, links: list[int]) -> dict[str, Any]:
    return {"id": identity(f"{side} {name}"), "name": name, "type": kind, "linkIds": links}


def host_info() -> dict[str, Any]:
    """How the subgraph's own node looks to the code that lays out ordinary nodes."""
    inputs = {
        name: [each["type"], {"default": each["default"]} if "default" in each else {}]
        for name, each in chain()["face"].items()
    }
    return {"input": {"required": inputs}, "output": ["IMAGE"], "output_name": ["IMAGE"]}


def folded(graph: ApiGraph) -> ApiGraph:
    """`graph` with the flat chain as one node, where its last stage stood."""
    end, values = [PREFIX + chain()["output"][0], 0], values_in(graph)
    host = {
        "class_type": identity("definition"),
        "inputs": {k: values[k] for k in chain()["face"] if k in values},
        "_meta": {"title": chain()["name"]},
    }
    placed = {HOST if key == end[0] else key: node for key, node in graph.items()}
    rest = {k: host if k == HOST else v for k, v in placed.items() if not k.startswith(PREFIX)}
    return _with_inputs(rest, lambda value: [HOST, 0] if value == end else value)


def dress(host: dict[str, Any]) -> None:
    """Give the laid-out host node what only a subgraph's node has: an entry for every widget, and no
    widget beside the seed."""
    host["widgets_values"] = [value for value in host["widgets_values"] if value != "fixed"]
    there = {socket["name"] for socket in host["inputs"]}
    for name, each in chain()["face"].items():
        if name not in there:
            socket = {"name": name, "type": each["type"], "link": None, "widget": {"name": name}}
            host["inputs"].append(socket)
    host["properties"] = {}


def blueprint(object_info: Mapping[str, Any]) -> dict[str, Any]:
    """The file that puts the chain into the editor's node library."""
    name = chain()["name"]
    alone = {HOST: {"class_type": name, "inputs": {}, "_meta": {"title": name}}}
    whole = to_editor(alone, {name: host_info()})
    (host,) = whole["nodes"]
    host["type"] = identity("definition")
    dress(host)
    return {
        "revision": 0, "last_node_id": whole["last_node_id"], "last_link_id": 0, "nodes": [host],
        "links": [], "version": 0.4, "definitions": {"subgraphs": [definition(object_info)]},
        "extra": {},
    }  # fmt: skip


def _is_face(value: object) -> bool:
    return isinstance(value, list) and value[0] == FACE


def _end(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"class_type": name, "inputs": inputs, "_meta": {"title": ""}}


def _with_inputs(nodes: ApiGraph, change: Callable[[Any], Any]) -> ApiGraph:
    """The nodes with every input's value changed; those that become _UNLINKED go."""
    result = {}
    for key, node in nodes.items():
        inputs = {name: change(value) for name, value in node["inputs"].items()}
        kept = {name: value for name, value in inputs.items() if value is not _UNLINKED}
        result[key] = {**node, "inputs": kept}
    return result
