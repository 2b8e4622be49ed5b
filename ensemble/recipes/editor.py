"""A graph in API format -> the editor's workflow format, laid out and titled.

The editor stores widget values by position, so the order of inputs has to come from the machine's own
node definitions (`/object_info`).
"""

from collections.abc import Mapping
from typing import Any

from .definitions import inputs_of, is_link
from .graph import ApiGraph

# What nodes show below their widgets: a picture or a text.
_SHOWN = {
    "LoadImage": 260,
    "LoadImageMask": 260,
    "SaveImage": 260,
    "PoseControlInput": 260,
    "PreviewAny": 90,
}
_COLUMN, _GAP, _WIDTH = 560, 60, 460
_ROW, _TEXT_BOX, _HEADER = 26, 120, 60


def to_editor(graph: ApiGraph, object_info: Mapping[str, Any]) -> dict[str, Any]:
    """The workflow that the editor converts back to `graph`.

    Raises KeyError for a node that `object_info` does not know.
    """
    ids = {key: number for number, key in enumerate(graph, 1)}
    links: list[list[Any]] = []
    nodes = {
        key: _node(ids[key], node, object_info[node["class_type"]]) for key, node in graph.items()
    }
    for key, node in graph.items():
        for name, value in node["inputs"].items():
            if is_link(value):
                source, slot = value
                links.append(_connect(len(links) + 1, nodes[source], slot, nodes[key], name))
    _lay_out(graph, nodes)
    return {
        "last_node_id": len(nodes),
        "last_link_id": len(links),
        "nodes": list(nodes.values()),
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _node(number: int, node: dict[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    values = node["inputs"]
    sockets: list[dict[str, Any]] = []
    widgets: list[object] = []
    last: list[object] = []
    height = _HEADER
    for each in inputs_of(values, info):
        value = values.get(each.name, each.default)
        if each.widget:
            widgets += [each.default if is_link(value) else value, *each.extra]
            last += each.last
            height += _TEXT_BOX if each.multiline else _ROW
        if not each.widget or is_link(value):
            socket: dict[str, Any] = {"name": each.name, "type": each.type, "link": None}
            if each.widget:
                socket["widget"] = {"name": each.name}
            sockets.append(socket)
    outputs = [
        {"name": name, "type": "COMBO" if isinstance(type_, list) else type_, "links": []}
        for name, type_ in zip(info["output_name"], info["output"], strict=True)
    ]
    height += _ROW * max(len(sockets), len(outputs))
    height += _SHOWN.get(node["class_type"], 0)
    return {
        "id": number,
        "type": node["class_type"],
        "title": node["_meta"]["title"],
        "pos": [0, 0],
        "size": [_WIDTH, height],
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": sockets,
        "outputs": outputs,
        "properties": {"Node name for S&R": node["class_type"]},
        "widgets_values": widgets + last,
    }


def _connect(
    number: int, source: dict[str, Any], slot: int, target: dict[str, Any], name: str
) -> list[Any]:
    index = next(i for i, socket in enumerate(target["inputs"]) if socket["name"] == name)
    output = source["outputs"][slot]
    output["links"].append(number)
    target["inputs"][index]["link"] = number
    return [number, source["id"], slot, target["id"], index, output["type"]]


def _lay_out(graph: ApiGraph, nodes: Mapping[str, dict[str, Any]]) -> None:
    """Columns by distance from the start, loaders just before what they feed: all links run right."""
    columns: dict[str, int] = {}
    sources = {
        key: [value[0] for value in node["inputs"].values() if is_link(value)]
        for key, node in graph.items()
    }
    # The builder adds a node after everything it is linked to.
    for key in graph:
        columns[key] = 1 + max((columns[source] for source in sources[key]), default=-1)
    for key in graph:
        fed = [columns[other] for other in graph if key in sources[other]]
        if fed and not sources[key]:
            columns[key] = min(fed) - 1
    filled: dict[int, int] = {}
    for key, column in columns.items():
        top = filled.get(column, 0)
        nodes[key]["pos"] = [column * _COLUMN, top]
        filled[column] = top + nodes[key]["size"][1] + _GAP
