"""`python dev demo`: every workflow of workflows/api through a real ComfyUI, into output/."""

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from .cache import ROOT
from .client import Client, Graph, RefusedError, read_graph
from .errors import DevError
from .graphs import Wishes, fit, loaded_images
from .pictures import find_picture, picture_size
from .server import Server
from .setup import prepare_base, prepare_engine

WORKFLOWS = ROOT / "workflows" / "api"
OUTPUT = ROOT / "output"
TABLE = ROOT / "dev" / "demo.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", help="workflows to run, without .json (default: all)")
    parser.add_argument("--checkpoint", metavar="FILE", type=Path, help="a real checkpoint")
    parser.add_argument(
        "--lora", metavar="FILE", type=Path, action="append", default=[],
        help="a real LoRA, in place of the first documented one; again for the second",
    )  # fmt: skip
    parser.add_argument("--image", metavar="FILE", type=Path, help="the input picture")
    parser.add_argument("--size", metavar="WxH", type=parse_size, help="for instance 768x512")
    parser.add_argument("--steps", type=parse_count, help="sampling steps")


def parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 768x512")
    size = int(width), int(height)
    if min(size) < 16 or any(side % 8 for side in size):
        raise argparse.ArgumentTypeError(f"{text}: sides must be divisible by 8, and 16 or more")
    return size


def parse_count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """0 when every workflow gave a picture."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    wishes = read_wishes(arguments, table)
    files = chosen_workflows(arguments.names)
    engine = prepare_engine()
    base = prepare_base(engine)
    print("Starting ComfyUI ...", flush=True)
    OUTPUT.mkdir(exist_ok=True)
    with Server(engine, base, models=model_folders(arguments)) as server:
        client = Client(server.url)
        failed = [
            path.stem for path in files if not render(client, path, engine.python, table, wishes)
        ]
    if arguments.checkpoint is None:
        print("The model has random weights: this checks the wiring, it is not art.")
        print("For a picture give --checkpoint FILE (SD1.5) and --lora FILE once per person.")
    if failed:
        print(f"python dev demo: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def chosen_workflows(names: list[str]) -> list[Path]:
    found = {path.stem: path for path in sorted(WORKFLOWS.glob("*.json"))}
    if unknown := [name for name in names if name not in found]:
        raise DevError(f"no workflow {unknown[0]!r} in {WORKFLOWS}; there are: {', '.join(found)}")
    if not found:
        raise DevError(f"{WORKFLOWS} has no workflows")
    return [found[name] for name in names] if names else list(found.values())


def read_wishes(arguments: argparse.Namespace, table: dict[str, Any]) -> Wishes:
    """With random weights a small picture and few steps do; with real ones the workflow's own."""
    for path in (arguments.checkpoint, arguments.image, *arguments.lora):
        if path is not None and not path.is_file():
            raise DevError(f"{path} is not a file")
    if len(arguments.lora) > len(table["loras"]):
        raise DevError(f"--lora: the documented texts have {len(table['loras'])} LoRAs, not more")
    wiring = arguments.checkpoint is None
    return Wishes(
        checkpoint=None if wiring else arguments.checkpoint.name,
        loras=tuple(path.name for path in arguments.lora),
        image=arguments.image,
        size=arguments.size or (parse_size(table["size"]) if wiring else None),
        steps=arguments.steps or (table["steps"] if wiring else None),
        quick=wiring,
    )


def model_folders(arguments: argparse.Namespace) -> dict[str, list[Path]]:
    """The folders of the user's own files, for ComfyUI to look in as well."""
    checkpoints = [arguments.checkpoint] if arguments.checkpoint else []
    groups = {"checkpoints": checkpoints, "loras": arguments.lora}
    return {k: sorted({p.resolve().parent for p in paths}) for k, paths in groups.items() if paths}


def render(client: Client, path: Path, python: Path, table: dict[str, Any], wishes: Wishes) -> bool:
    """One workflow from its file to its saved pictures; says what it did."""
    print(f"== {path.stem}", flush=True)
    graph = read_graph(path)
    for name in loaded_images(graph):
        own = wishes.image
        picture = own.read_bytes() if own else find_picture(name, python)
        client.upload(own.name if own else name, picture)
        wishes = dataclasses.replace(wishes, picture=picture_size(picture, python))
    graph, notes = fit(graph, client.object_info(), table, wishes)
    for note in notes:
        print(f"  {note}")
    started = time.perf_counter()
    try:
        run = client.run(graph, Progress(graph))
    except RefusedError as refused:
        print(f"  refused: {refused}", file=sys.stderr)
        return False
    saved = [picture for picture in client.pictures(run) if picture.saved]
    for number, picture in enumerate(saved, 1):
        target = OUTPUT / f"{path.stem}_{number}.png"
        target.write_bytes(picture.data)
        print(f"  {target}")
    print(f"  {run.status} in {time.perf_counter() - started:.1f} s", flush=True)
    if run.error:
        print(f"  {run.error}", file=sys.stderr)
    return run.status == "success" and bool(saved)


class Progress:
    """Shows how far each sampling node is: a moving line on a terminal, a line per node else."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def __call__(self, node: str, step: int, steps: int) -> None:
        if steps < 2:
            return
        # A node that a node made at run time is in no graph of ours.
        kind = self._graph.get(node, {}).get("class_type", node)
        last = step >= steps
        if sys.stdout.isatty():
            print(f"\r  {kind}: step {step} of {steps} ", end="\n" if last else "", flush=True)
        elif last:
            print(f"  {kind}: {steps} steps", flush=True)
