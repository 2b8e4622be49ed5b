"""`python dev demo`: every workflow of example_workflows/api through a real ComfyUI, into output/."""

import argparse
import dataclasses
import io
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ensemble.pose.default import default_pose
from ensemble.pose.draw import draw

from . import DevError, drawn_photo
from .base import prepare_base
from .cache import ROOT
from .cli import size
from .client import Client, Graph, Progress, RefusedError, Run, read_graph
from .engine import Engine
from .graphs import Wishes, absent_files, choices, fit, loaded_images
from .server import Server

WORKFLOWS = ROOT / "example_workflows" / "api"
OUTPUT = ROOT / "output"
FIRST = "multi_person"
TABLE = ROOT / "dev" / "demo.json"


def run(engine: Engine, arguments: argparse.Namespace, _: list[str]) -> int:
    """0 when every workflow gave a picture."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    wishes = read_wishes(arguments, table)
    files = chosen_workflows(arguments.names)
    base = prepare_base(engine)
    print("Starting ComfyUI ...", flush=True)
    with Server(engine, base, models=model_folders(arguments)) as server:
        client = Client(server.url)
        named = bool(arguments.names)
        failed = [p.stem for p in files if not render(client, p, table, wishes, named=named)]
    if arguments.checkpoint is None:
        print(
            "Drawn by the small model of drawn people (dolls/README.md). The workflows "
            "of other models need their files."
        )
        print(
            "For a picture of yours give --checkpoint FILE (SD1.5) and --lora FILE once per person."
        )
    if failed:
        print(f"python dev demo: failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def chosen_workflows(names: list[str]) -> list[Path]:
    """Those of these names, else all; what the pack is for comes first."""
    paths = sorted(WORKFLOWS.glob("*.json"), key=lambda path: (path.stem != FIRST, path.stem))
    found = {path.stem: path for path in paths}
    if unknown := [name for name in names if name not in found]:
        raise DevError(f"no workflow {unknown[0]!r} in {WORKFLOWS}; there are: {', '.join(found)}")
    if not found:
        raise DevError(f"{WORKFLOWS} has no workflows")
    return [found[name] for name in names] if names else list(found.values())


def read_wishes(arguments: argparse.Namespace, table: dict[str, Any]) -> Wishes:
    """With random weights a small picture and few steps do; with real ones the workflow's own."""
    if len(arguments.lora) > len(table["loras"]):
        raise DevError(f"--lora: the documented texts have {len(table['loras'])} LoRAs, not more")
    wiring = arguments.checkpoint is None
    return Wishes(
        checkpoint=None if wiring else arguments.checkpoint.name,
        loras=tuple(path.name for path in arguments.lora),
        image=arguments.image,
        size=arguments.size or (size(table["size"]) if wiring else None),
        steps=arguments.steps or (table["steps"] if wiring else None),
        quick=wiring,
    )


def model_folders(arguments: argparse.Namespace) -> dict[str, list[Path]]:
    """The folders of the user's own files, for ComfyUI to look in as well."""
    checkpoints = [arguments.checkpoint] if arguments.checkpoint else []
    groups = {"checkpoints": checkpoints, "loras": arguments.lora}
    return {k: sorted({p.resolve().parent for p in paths}) for k, paths in groups.items() if paths}


def render(
    client: Client, path: Path, table: dict[str, Any], wishes: Wishes, *, named: bool = True
) -> bool:
    """One workflow from its file to its saved pictures; says what it did. One whose files are neither
    here nor have a small one to stand in for them is passed over, and has failed if it was `named`."""
    print(f"== {path.stem}", flush=True)
    graph = read_graph(path)
    if absent := absent_files(graph, client.object_info(), table):
        print(f"  left out: there is no {absent[0]}, and no small model of its kind")
        return not named
    own_table, wishes = with_dolls(graph, client.object_info(), table, wishes)
    drawn = own_table is not table and wishes.image is None and drawn_photo.wanted_by(graph)
    for name, picture in pictures_for(graph, wishes.image, drawn).items():
        client.upload(name, picture)
        wishes = dataclasses.replace(wishes, picture=picture_size(picture))
    tables = {path.stem: own_table}
    if own_table is not table:
        also = table["dolls"]["also"].get(path.stem, {})
        tables |= {stem: own_table | {"texts": texts} for stem, texts in also.items()}
    made = [render_one(client, graph, stem, each, wishes, drawn) for stem, each in tables.items()]
    return all(made)


def render_one(
    client: Client, graph: Graph, stem: str, table: dict[str, Any], wishes: Wishes, drawn: bool
) -> bool:
    """The graph as the table and the wishes change it, to output/STEM_N.png."""
    graph, notes = fit(graph, client.object_info(), table, wishes)
    if drawn:
        notes = [note for note in notes if "MaskFromPrompt" not in note and "photo" not in note]
        notes += drawn_photo.put_in(graph)
    for note in notes:
        print(f"  {note}")
    try:
        run, saved, _ = run_into_output(client, graph, stem)
    except RefusedError as refused:
        print(f"  refused: {refused}", file=sys.stderr)
        return False
    return run.status == "success" and bool(saved)


def pictures_for(graph: Graph, own: Path | None, drawn: bool) -> dict[str, bytes]:
    """What the graph's LoadImage nodes are given, by name."""
    if drawn:
        return drawn_photo.files()
    names = loaded_images(graph)
    if own:
        return {own.name: own.read_bytes()} if names else {}
    return {name: find_picture(name) for name in names}


def with_dolls(
    graph: Graph, object_info: dict[str, Any], table: dict[str, Any], wishes: Wishes
) -> tuple[dict[str, Any], Wishes]:
    """The table and the wishes for the model of drawn people, where the graph loads a checkpoint, none
    of the user's own is given, and that model is there."""
    dolls = table["dolls"]
    loaders = [n for n in graph.values() if n["class_type"] == "CheckpointLoaderSimple"]
    there = loaders and dolls["checkpoint"] in (choices(object_info, loaders[0], "ckpt_name") or [])
    if not there or not wishes.quick:
        return table, wishes
    mixed = {key: table[key] | dolls[key] for key in ("files", "texts", "quick")}
    asked = size(table["size"]) == wishes.size, table["steps"] == wishes.steps
    return table | mixed, dataclasses.replace(
        wishes,
        checkpoint=dolls["checkpoint"],
        loras=tuple(dolls["loras"]),
        size=size(dolls["size"]) if asked[0] else wishes.size,
        steps=dolls["steps"] if asked[1] else wishes.steps,
    )


def run_into_output(client: Client, graph: Graph, stem: str) -> tuple[Run, list[Path], float]:
    """Run a graph and keep what it saved as output/STEM_N.png; says what it did.

    The run, the files and the seconds it took.
    """
    started = time.perf_counter()
    run = client.run(graph, shown(graph))
    seconds = time.perf_counter() - started
    OUTPUT.mkdir(exist_ok=True)
    files = []
    for number, picture in enumerate((p for p in client.pictures(run) if p.saved), 1):
        files.append(OUTPUT / f"{stem}_{number}.png")
        files[-1].write_bytes(picture.data)
        print(f"  {files[-1]}")
    print(f"  {run.status} in {seconds:.1f} s", flush=True)
    if run.error:
        print(f"  {run.error}", file=sys.stderr)
    return run, files, seconds


def find_picture(name: str) -> bytes:
    """The file of that name beside the workflows, else scikit-image's, else two drawn skeletons."""
    photographs = find_spec("skimage")
    found = list(photographs.submodule_search_locations or ()) if photographs else []
    for folder in (ROOT / "example_workflows", *(Path(place) / "data" for place in found)):
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    png = io.BytesIO()
    Image.fromarray(draw(default_pose(2, 768, 512)[0])).save(png, "PNG")
    return png.getvalue()


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a picture file."""
    try:
        return Image.open(io.BytesIO(data)).size
    except UnidentifiedImageError:
        raise DevError("the input picture is no PNG, JPEG or WebP that can be read") from None


def shown(graph: Graph) -> Progress:
    """Shows how far each sampling node is: a moving line on a terminal, a line per node else."""

    def show(node: str, step: int, steps: int) -> None:
        # A node that a node made at run time is in no graph of ours.
        kind = graph.get(node, {}).get("class_type", node)
        if steps > 1 and sys.stdout.isatty():
            end = "\n" if step >= steps else ""
            print(f"\r  {kind}: step {step} of {steps} ", end=end, flush=True)
        elif 1 < steps <= step:
            print(f"  {kind}: {steps} steps", flush=True)

    return show
