"""workflows/NAME.json for the editor, made from workflows/api/NAME.json: one source for both forms.

What an API graph cannot say (the note, which public files its loaders want) is in templates.json.
"""

import json
from pathlib import Path
from typing import Any

from ensemble.recipes.editor import to_editor

from .cache import ROOT
from .client import Client
from .server import Server
from .setup import prepare_base, prepare_engine

WORKFLOWS = ROOT / "workflows"
EXTRAS = ROOT / "dev" / "templates.json"
NOTE_SIZE = [420, 640]


def names() -> list[str]:
    return list(json.loads(EXTRAS.read_text(encoding="utf-8")))


def editor_form(name: str, object_info: dict[str, Any]) -> dict[str, Any]:
    """The editor's workflow of one bundled API graph, with its note and model links."""
    extras = json.loads(EXTRAS.read_text(encoding="utf-8"))[name]
    graph = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    workflow = to_editor(graph, object_info)
    for key, node in zip(graph, workflow["nodes"], strict=True):
        if key in extras["models"]:
            node["properties"]["models"] = extras["models"][key]
    workflow["nodes"].append(_note(len(graph) + 1, extras["note"]))
    workflow["last_node_id"] += 1
    return workflow


def _note(number: int, text: str) -> dict[str, Any]:
    return {
        "id": number,
        "type": "MarkdownNote",
        "title": "Read me",
        "pos": [-NOTE_SIZE[0] - 60, 0],
        "size": NOTE_SIZE,
        "flags": {},
        "order": number - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [text],
        "color": "#432",
        "bgcolor": "#653",
    }


def run() -> int:
    """Write every editor form anew."""
    engine = prepare_engine()
    with Server(engine, prepare_base(engine)) as server:
        info = Client(server.url).object_info()
    for name in names():
        target: Path = WORKFLOWS / f"{name}.json"
        text = json.dumps(editor_form(name, info), indent=1, ensure_ascii=False)
        target.write_text(text + "\n", encoding="utf-8")
        print(target)
    return 0
