"""`python dev recipe FILE`: a hosted prompt text or JSON body through a ComfyUI server."""

import argparse
import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .cache import ROOT
from .client import Client
from .demo import Progress, parse_count, parse_size
from .errors import DevError
from .server import Server
from .setup import prepare_base, prepare_engine

OUTPUT = ROOT / "output"
COMPILE = "/ensemble/v1/recipes/compile"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="text or JSON, as the service has it"
    )
    parser.add_argument("--url", help="a running ComfyUI with this pack (default: one is started)")
    parser.add_argument("--size", metavar="WxH", type=parse_size, help="for a trial, like 192x128")
    parser.add_argument("--steps", type=parse_count, help="for a trial: sampling steps")
    parser.add_argument("--pictures", type=parse_count, help="for a trial: number of pictures")
    parser.add_argument("--seed", type=int, help="where the recipe names none (default: random)")
    parser.add_argument("--checkpoint", metavar="NAME", help="where the recipe names none")
    parser.add_argument("--image", metavar="FILE", type=Path, action="append", default=[],
                        help="a picture the recipe names by its file name; again for more")  # fmt: skip
    parser.add_argument("--output-size", choices=("recipe", "input"), default="recipe",
                        help="input: paste what is kept back into the input picture")  # fmt: skip
    parser.add_argument("--strict", action="store_true", help="hold to the service's ranges")
    parser.add_argument("--allow-approximate", action="store_true",
                        help="take the nearest sampler where there is no true one")  # fmt: skip
    parser.add_argument("--skip-missing", action="store_true",
                        help="leave out what this machine lacks, and say so")  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="compile and report, do not render")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python dev recipe", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(arguments: argparse.Namespace) -> int:
    """0 when the recipe gave its pictures, or compiled in a dry run."""
    for path in (arguments.file, *arguments.image):
        if not path.is_file():
            raise DevError(f"{path} is not a file")
    try:
        text = arguments.file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DevError(f"{arguments.file} is not UTF-8 text: {error}") from error
    with _server(arguments.url) as client:
        for path in arguments.image:
            client.upload(path.name, path.read_bytes())
        compiled = _compile(client, arguments, text)
        return _finish(client, arguments, compiled)


@contextmanager
def _server(url: str | None) -> Iterator[Client]:
    """A client of the named server, or of one that is started for it."""
    if url:
        client = Client(url)
        try:
            client.get_json("/system_stats")
        except (OSError, ValueError) as error:
            raise DevError(f"--url: no ComfyUI answers at {url} ({error})") from error
        yield client
        return
    engine = prepare_engine()
    base = prepare_base(engine)
    print("Starting ComfyUI ...", flush=True)
    with Server(engine, base) as server:
        yield Client(server.url)


def _compile(client: Client, arguments: argparse.Namespace, text: str) -> dict[str, Any]:
    width, height = arguments.size or (None, None)
    status, answer = client.post_json(
        COMPILE,
        {
            "text": text,
            "width": width,
            "height": height,
            "steps": arguments.steps,
            "pictures": arguments.pictures,
            "seed": arguments.seed,
            "checkpoint": arguments.checkpoint,
            "output_size": arguments.output_size,
            "strict": arguments.strict,
            "allow_approximate": arguments.allow_approximate,
            "skip_missing": arguments.skip_missing,
            "hashes": True,
            "workflow": True,
        },
    )
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
    started = time.perf_counter()
    run = client.run(graph, Progress(graph))
    seconds = time.perf_counter() - started
    saved = [picture for picture in client.pictures(run) if picture.node == "save"]
    for number, picture in enumerate(saved, 1):
        target = OUTPUT / f"{stem}_{number}.png"
        target.write_bytes(picture.data)
        print(f"  {target}")
    texts = {node: output["text"] for node, output in run.outputs.items() if "text" in output}
    _write(
        OUTPUT / f"{stem}.report.json",
        report | {"status": run.status, "seconds": round(seconds, 2), "texts": texts},
    )
    print(f"  {run.status} in {seconds:.1f} s, seed {report['seed']}", flush=True)
    if run.error:
        print(f"  {run.error}", file=sys.stderr)
    return int(run.status != "success" or not saved)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"  {path}")
