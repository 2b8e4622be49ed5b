"""Making a bundled workflow run with the files at hand: pure functions over an API graph."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import Graph

SMALL = "small_"
"""How names of the models with random weights begin."""


@dataclass(frozen=True)
class Wishes:
    """What the command line asked for; None or empty leaves the workflow as it is."""

    checkpoint: str | None = None
    loras: tuple[str, ...] = ()
    image: Path | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    # Width and height of the picture that is uploaded.
    picture: tuple[int, int] | None = None
    # Only the wiring is tried: what takes long and changes nothing about it is made shorter.
    quick: bool = False


def choices(object_info: dict[str, Any], node: dict[str, Any], name: str) -> list[Any] | None:
    """What a combo input offers on this server, or None for other kinds of input."""
    known = object_info.get(node["class_type"], {}).get("input", {})
    kind, *options = {**known.get("required", {}), **known.get("optional", {})}.get(name, [None])
    if kind == "COMBO":
        return options[0].get("options", [])
    return kind if isinstance(kind, list) else None


def fit(
    graph: Graph, object_info: dict[str, Any], table: dict[str, Any], wishes: Wishes
) -> tuple[Graph, list[str]]:
    """A copy that names only what is there, and one line per thing that was put in for another."""
    graph = copy.deepcopy(graph)
    notes = _unlink(graph, object_info, table["unlink"])
    for node in graph.values():
        typed = {k: v for k, v in node["inputs"].items() if not isinstance(v, list)}
        for name, old in typed.items():
            new = _value(node, name, old, choices(object_info, node, name), table, wishes)
            node["inputs"][name] = new
            key = f"{node['class_type']}.{name}"
            if new != old and key in table["files"]:
                notes.append(f"{key}: {new} for {old}")
    return graph, notes + (_spare(graph) if wishes.checkpoint else [])


def absent_files(graph: Graph, object_info: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Model files that the graph names, this server lacks, and the table has no other for."""
    found = []
    for node in graph.values():
        for name, value in node["inputs"].items():
            if f"{node['class_type']}.{name}" in table["files"] or not isinstance(value, str):
                continue
            offered = choices(object_info, node, name)
            if value.endswith(".safetensors") and offered is not None and value not in offered:
                found.append(value)
    return found


def _spare(graph: Graph) -> list[str]:
    """Keep small models, whose weights are random, out of a picture of a real checkpoint."""
    notes = []
    for node in graph.values():
        net = node["inputs"].get("control_net")
        if net and str(graph[net[0]]["inputs"].get("control_net_name")).startswith(SMALL):
            node["inputs"]["strength"] = 0.0
            notes.append(f"{node['class_type']}.strength: 0, no real ControlNet is there")
        if node["class_type"] == "MaskFromPrompt":
            notes.append("MaskFromPrompt: its models are small ones, so the mask is random")
        if node["class_type"] == "PoseControlInput" and "image" in node["inputs"]:
            notes.append("PoseControlInput: only a skeleton picture is read, a photo at random")
    return notes


def _unlink(graph: Graph, object_info: dict[str, Any], rule: dict[str, str]) -> list[str]:
    """Take the link out of the rule's input where none of the choices beside it is a file."""
    notes = []
    for node in graph.values():
        linked = isinstance(node["inputs"].get(rule["input"]), list)
        if node["class_type"] != rule["node"] or not linked:
            continue
        offered = choices(object_info, node, rule["choices"]) or []
        if not any(rule["mark"] in choice for choice in offered):
            del node["inputs"][rule["input"]]
            notes.append(f"{rule['node']}.{rule['input']}: unlinked, no {rule['choices']} is there")
    return notes


def _value(node, name, old, offered, table, wishes: Wishes) -> Any:
    """What an input that says `old` shall say; `offered` is what its combo offers, if it is one."""
    key = f"{node['class_type']}.{name}"
    if name == "ckpt_name" and wishes.checkpoint:
        return wishes.checkpoint
    if name == "steps" and wishes.steps and isinstance(old, int):
        return wishes.steps
    if name in ("width", "height") and node["class_type"] in table["sized"]:
        return _side(old, name == "height", wishes)
    if node["class_type"] == "LoadImage" and name == "image" and wishes.image:
        return wishes.image.name
    if wishes.quick and key in table["quick"]:
        return table["quick"][key]
    if key in table["files"] and offered is not None and old not in offered:
        return table["files"][key]
    if key in table["texts"]:
        return _with_loras(key, table, wishes)
    return old


def _side(old: int, side: int, wishes: Wishes) -> int:
    """A canvas side (0 width, 1 height). Where the workflow says 0, it follows its picture: the
    picture's shape with the wish's short side, else with the recipes' 512, in multiples of 8."""
    if old == 0 and wishes.picture:
        short = min(wishes.size) if wishes.size else 512
        return round(short * wishes.picture[side] / min(wishes.picture) / 8) * 8
    return wishes.size[side] if wishes.size else old


def _with_loras(key: str, table: dict[str, Any], wishes: Wishes) -> str:
    """The documented text with the n-th documented LoRA replaced by the n-th given one. Beside a
    real checkpoint those that are not given go: they are small ones with random weights."""
    text, given = table["texts"][key], len(wishes.loras)
    real = wishes.checkpoint is not None
    if real and key in ("MultiLoraLoader.loras", "MultiLoraLoader.strengths"):
        text = ",".join(text.split(",")[:given])
    for index, names in enumerate(table["loras"]):
        for name in names:
            if index < given:
                text = text.replace(name, wishes.loras[index])
            elif real:
                text = re.sub(rf"\s*<lora:{re.escape(name)}:[^>]*>", "", text)
    return text


def loaded_images(graph: Graph) -> list[str]:
    """The picture files that a graph's LoadImage nodes name."""
    found = (n["inputs"].get("image") for n in graph.values() if n["class_type"] == "LoadImage")
    return [name for name in found if isinstance(name, str)]
