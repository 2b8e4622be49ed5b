"""`python dev recipe FILE`: a hosted prompt text or JSON body through a ComfyUI server."""

import argparse
import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import DevError
from .base import prepare_base
from .client import Client
from .demo import OUTPUT, run_into_output
from .engine import Engine
from .server import Server

COMPILE = "/ensemble/v1/recipes/compile"
# Of the command's arguments, those that the route takes under the same name.
_PASSED = [
    "steps",
    "pictures",
    "seed",
    "checkpoint",
    "output_size",
    "strict",
    "allow_approximate",
    "skip_missing",
]


def run(engine: Engine | None, arguments: argparse.Namespace, _: list[str]) -> int:
    """0 when the recipe gave its pictures, or compiled in a dry run."""
    try:
        text = arguments.file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DevError(f"{arguments.file} is not UTF-8 text: {error}") from error
    with _server(engine, arguments.url) as client:
        for path in arguments.image:
            client.upload(path.name, path.read_bytes())
        compiled = _compile(client, arguments, text)
        return _finish(client, arguments, compiled)


@contextmanager
def _server(engine: Engine | None, url: str | None) -> Iterator[Client]:
    """A client of the named server, or of one that is started for it."""
    if url or engine is None:
        client = Client(url or "")
        try:
            client.get_json("/system_stats")
        except (OSError, ValueError) as error:
            raise DevError(f"--url: no ComfyUI answers at {url} ({error})") from error
        yield client
        return
    base = prepare_base(engine)
    print("Starting ComfyUI ...", flush=True)
    with Server(engine, base) as server:
        yield Client(server.url)


def _compile(client: Client, arguments: argparse.Namespace, text: str) -> dict[str, Any]:
    width, height = arguments.size or (None, None)
    wishes = {name: getattr(arguments, name) for name in _PASSED}
    body = {"text": text, "width": width, "height": height, "hashes": True, "workflow": True}
    if key := os.environ.get("ENSEMBLE_API_KEY"):
        body["key"] = key
    status, answer = client.post_json(COMPILE, body | wishes)
    if status == 200:
        return answer
    if not isinstance(answer, dict):
        raise DevError(f"{client.url}{COMPILE} answers HTTP {status}: {answer[:300]}")
    lines = [problem["text"] for problem in answer.get("problems", ())]
    lines += [f"{each['setting']}: {each['hint']}" for each in answer.get("missing", ())]
    raise DevError(
        "\n  ".join([f"{arguments.file} cannot be run:", *lines, answer.get("error", "")])
    )


def _finish(client: Client, arguments: argparse.Namespace, compiled: dict[str, Any]) -> int:
    report, graph = compiled["report"], compiled["graph"]
    for line in compiled["warnings"] + report["notes"] + report["left_out"]:
        print(f"  {line}")
    for name, value in report["defaults"].items():
        print(f"  {name} = {value} (default)")
    for name, change in report["shrink"].items():
        print(f"  {name}: {change} (made small)")
    OUTPUT.mkdir(exist_ok=True)
    stem = arguments.file.stem
    _write(OUTPUT / f"{stem}.api.json", graph)
    _write(OUTPUT / f"{stem}.workflow.json", compiled["workflow"])
    if arguments.dry_run:
        _write(OUTPUT / f"{stem}.report.json", report)
        return 0
    for name, encoded in compiled["uploads"].items():
        client.upload(name, base64.b64decode(encoded))
    run, saved, seconds = run_into_output(client, graph, stem)
    texts = {node: output["text"] for node, output in run.outputs.items() if "text" in output}
    outcome = {"status": run.status, "seconds": round(seconds, 2), "texts": texts}
    _write(OUTPUT / f"{stem}.report.json", report | outcome)
    print(f"  seed {report['seed']}")
    return int(run.status != "success" or not saved)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"  {path}")
