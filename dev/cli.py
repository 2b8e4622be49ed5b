"""The commands of `python dev`."""

import argparse
import json
import signal
import sys
from pathlib import Path

from . import bench, check, demo, recipe, templates
from .base import clone_base
from .client import RefusedError
from .errors import DevError
from .server import Server, is_free
from .setup import prepare_base, prepare_engine

SERVE_PORT = 8188


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="python dev",
        description="Everything it sets up lies in a cache folder (ENSEMBLE_CACHE). COMFYUI_PATH"
        " names a ComfyUI of your own to use instead; nothing is written into that one.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="<command>")

    help_demo = "render every workflow of workflows/api through a real ComfyUI into output/"
    demo.add_arguments(commands.add_parser("demo", help=help_demo, description=help_demo))

    help_recipe = "render a hosted prompt text or JSON body, with a report of what acted"
    recipe.add_arguments(commands.add_parser("recipe", help=help_recipe, description=help_recipe))

    help_test = "lint, types, import contracts and all tests; other arguments go to pytest"
    test = commands.add_parser("test", help=help_test, description=help_test)
    pace = test.add_mutually_exclusive_group()
    pace.add_argument("--quick", action="store_true", help="under 5 minutes: no server, no browser")
    pace.add_argument("--slow", action="store_true", help="also full-size and scratch installs")

    help_serve = "ComfyUI with the pack and small models, until Ctrl+C"
    serve = commands.add_parser("serve", help=help_serve, description=help_serve)
    serve.add_argument("--port", type=int, help=f"default {SERVE_PORT}, or a free one if taken")

    help_bench = "the benchmarks as a table; other arguments go to the benchmark"
    measured = commands.add_parser("bench", help=help_bench, description=help_bench)
    measured.add_argument("name", nargs="?", help="one of: " + ", ".join(bench.names()))
    measured.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    measured.add_argument("--json", metavar="FILE", type=Path, help="also write the rows as JSON")

    help_templates = "write workflows/*.json for the editor anew from workflows/api"
    commands.add_parser("templates", help=help_templates, description=help_templates)

    help_where = "one JSON object: python, comfyui, base_directory, models"
    commands.add_parser("where", help=help_where, description=help_where)
    return whole


def main(argv: list[str]) -> int:
    """Run one command; its exit code."""
    whole = parser()
    arguments, others = whole.parse_known_args(argv)
    if others and arguments.command not in ("test", "bench"):
        whole.error("unrecognized arguments: " + " ".join(others))
    # Ends what was started, as Ctrl+C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(arguments, others)
    except (DevError, RefusedError, ConnectionError) as error:
        print(f"python dev {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(arguments: argparse.Namespace, others: list[str]) -> int:
    if arguments.command == "where":
        return where()
    if arguments.command == "serve":
        return serve(arguments.port)
    if arguments.command == "demo":
        return demo.run(arguments)
    if arguments.command == "recipe":
        return recipe.run(arguments)
    if arguments.command == "templates":
        return templates.run()
    if arguments.command == "test":
        return check.run(arguments.quick, arguments.slow, others)
    return bench.run(arguments.name, arguments.quick, arguments.json, others)


def where() -> int:
    """Set-up prints its progress; here it goes to stderr, so that stdout is the JSON alone."""
    stdout, sys.stdout = sys.stdout, sys.stderr
    try:
        engine = prepare_engine()
        base = prepare_base(engine)
    finally:
        sys.stdout = stdout
    places = {
        "python": str(engine.python),
        "comfyui": str(engine.comfyui),
        "base_directory": str(base),
        "models": str(base / "models"),
    }
    print(json.dumps(places, indent=2))
    return 0


def serve(port: int | None) -> int:
    if port is not None and not is_free(port):
        raise DevError(f"port {port} is taken or none; choose another with --port")
    engine = prepare_engine()
    base = prepare_base(engine)
    if port is None and is_free(SERVE_PORT):
        port = SERVE_PORT
    print("Starting ComfyUI ...", flush=True)
    with Server(engine, base, port) as server:
        print(f"{server.url}  (base directory {clone_base()}; end with Ctrl+C)", flush=True)
        return server.wait()
