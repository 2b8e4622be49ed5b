"""The leak meter on a recipe's picture: whether each person of the cast is themselves. Standard library
alone (see comfy.py)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

Graph = dict[str, dict[str, Any]]
METER = "EnsembleLeakMeter"
_SAVE = "SaveImage"
_PERSON = re.compile(r"\bperson (\d+)\b")


def with_meter(graph: Graph, faces: Mapping[str, str]) -> Graph:
    """`faces`: a picture of each person by name, in the prompt's order. The graph as it is where nobody
    has one."""
    save = next((each for each in graph.values() if each["class_type"] == _SAVE), None)
    if save is None or not faces:
        return graph
    more: Graph = {}
    batch: list[Any] = []
    for number, name in enumerate(faces.values()):
        more[f"face_{number}"] = _node("LoadImage", image=name)
        face = [f"face_{number}", 0]
        if batch:
            more[f"faces_{number}"] = _node("ImageBatch", image1=batch, image2=face)
            face = [f"faces_{number}", 0]
        batch = face
    more["leak"] = _node(
        METER, image=save["inputs"]["images"], references=batch, names="", detector="auto",
        embedder="auto", threshold=0.0, yunet_model="first in folder",
    )  # fmt: skip
    return {**graph, **more}


def meter_lines(graph: Graph, outputs: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """What the meters of a graph have said, from the history's outputs; of people by name, where these
    are known."""
    meters = (name for name, each in graph.items() if each["class_type"] == METER)
    texts: list[Sequence[str]] = [outputs.get(name, {}).get("text", ()) for name in meters]
    lines = [line for text in texts for block in text for line in block.split("\n")]
    return [_PERSON.sub(lambda found: _name(found, names), line) for line in lines]


def _name(found: re.Match[str], names: Sequence[str]) -> str:
    number = int(found[1])
    return names[number - 1] if 0 < number <= len(names) else found[0]


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}
