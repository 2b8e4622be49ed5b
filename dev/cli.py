"""The commands of `python dev`: their arguments, read before the environment exists."""

import argparse
import json
import signal
import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from . import DevError
from .build import built_engine
from .cache import ROOT
from .engine import Engine, check_packages, enter, entered, given_engine

SERVE_PORT = 8188
BENCHMARKS = ROOT / "benchmarks"


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="python dev",
        description="Everything it sets up lies in a cache folder (ENSEMBLE_CACHE). COMFYUI_PATH"
        " names a ComfyUI of your own to use instead; nothing is written into that one.",
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="<command>")

    def command(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about)

    demo = command(
        "demo", "render every workflow of example_workflows/api through a real ComfyUI into output/"
    )
    demo.add_argument("names", nargs="*", help="workflows to run, without .json (default: all)")
    demo.add_argument("--checkpoint", metavar="FILE", type=file, help="a real checkpoint")
    demo.add_argument("--lora", metavar="FILE", type=file, action="append", default=[],
                      help="a real LoRA, in place of the first documented one; again for the second")  # fmt: skip
    demo.add_argument("--image", metavar="FILE", type=file, help="the input picture")
    demo.add_argument("--size", metavar="WxH", type=size, help="for instance 768x512")
    demo.add_argument("--steps", type=count, help="sampling steps")

    recipe_arguments(command("recipe", "render a hosted prompt text or JSON body, with a report"))

    test = command("test", "lint, types, import contracts and all tests; the rest goes to pytest")
    pace = test.add_mutually_exclusive_group()
    pace.add_argument("--quick", action="store_true", help="under 5 minutes: no server, no browser")
    pace.add_argument("--slow", action="store_true", help="also full-size and scratch installs")
    pace.add_argument("--newest", action="store_true",
                      help="only on the newest ComfyUI and front end of the package index")  # fmt: skip

    serve = command("serve", "ComfyUI with the pack and small models, until Ctrl+C")
    serve.add_argument("--port", type=int, help=f"default {SERVE_PORT}, or a free one if taken")

    bench = command("bench", "the benchmarks as a table; other arguments go to the benchmark")
    bench.add_argument("name", nargs="?", help="one of: " + ", ".join(benchmarks()))
    bench.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    bench.add_argument("--json", metavar="FILE", type=Path, help="also write the rows as JSON")

    command(
        "templates", "write example_workflows/*.json for the editor anew from example_workflows/api"
    )
    command("where", "one JSON object: python, comfyui, base_directory, models")
    return whole


def recipe_arguments(recipe: argparse.ArgumentParser) -> None:
    recipe.add_argument("file", metavar="FILE", type=file, help="text or JSON, as the service's")
    recipe.add_argument("--url", help="a running ComfyUI with this pack (default: one is started)")
    recipe.add_argument("--size", metavar="WxH", type=size, help="for a trial, like 192x128")
    recipe.add_argument("--steps", type=count, help="for a trial: sampling steps")
    recipe.add_argument("--pictures", type=count, help="for a trial: number of pictures")
    recipe.add_argument("--seed", type=int, help="where the recipe names none (default: random)")
    recipe.add_argument("--checkpoint", metavar="NAME", help="where the recipe names none")
    recipe.add_argument("--image", metavar="FILE", type=file, action="append", default=[],
                        help="a picture the recipe names by its file name; again for more")  # fmt: skip
    recipe.add_argument("--output-size", choices=("recipe", "input"), default="recipe",
                        help="input: paste what is kept back into the input picture")  # fmt: skip
    recipe.add_argument("--strict", action="store_true", help="hold to the service's ranges")
    recipe.add_argument("--allow-approximate", action="store_true",
                        help="take the nearest sampler where there is no true one")  # fmt: skip
    recipe.add_argument("--skip-missing", action="store_true",
                        help="leave out what this machine lacks, and say so")  # fmt: skip
    recipe.add_argument("--dry-run", action="store_true", help="compile and report, do not render")


def file(text: str) -> Path:
    if not Path(text).is_file():
        raise DevError(f"{text} is not a file")
    return Path(text)


def size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it like 768x512")
    sides = int(width), int(height)
    if min(sides) < 16 or any(side % 8 for side in sides):
        raise argparse.ArgumentTypeError(f"{text}: sides must be divisible by 8, and 16 or more")
    return sides


def count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def benchmarks() -> list[str]:
    """The files in benchmarks/ that can be run; the others are what they share."""
    files = sorted(BENCHMARKS.glob("*.py"))
    return [path.stem for path in files if "def main(" in path.read_text(encoding="utf-8")]


def main(argv: list[str]) -> int:
    """Run one command; its exit code."""
    # Ends what was started, as Ctrl+C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    whole = parser()
    try:
        arguments, others = whole.parse_known_args(argv)
        if others and arguments.command not in ("test", "bench"):
            whole.error("unrecognized arguments: " + " ".join(others))
        engine = entered()
        # Set-up prints its progress; stdout of `where` is the JSON alone.
        with redirect_stdout(sys.stderr if arguments.command == "where" else sys.stdout):
            if engine:
                check_packages()
            elif not talks_only(arguments):
                return enter(given_engine() or built_engine(), argv)
        return run(arguments, others, engine)
    except (DevError, ConnectionError) as error:
        print(f"python dev {argv[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def talks_only(arguments: argparse.Namespace) -> bool:
    """Whether only a server elsewhere is needed, and this Python has what talking to it takes."""
    needed = ("aiohttp", "requests", "PIL", "numpy")
    return arguments.command == "recipe" and bool(arguments.url) and all(map(find_spec, needed))


def run(arguments: argparse.Namespace, others: list[str], engine: Engine | None) -> int:
    """The command itself. Its module is imported only now: it wants the engine's packages."""
    if engine and arguments.command == "where":
        return where(engine)
    if engine and arguments.command == "serve":
        return serve(engine, arguments.port)
    name = "check" if arguments.command == "test" else arguments.command
    return import_module(f".{name}", __package__).run(engine, arguments, others)


def where(engine: Engine) -> int:
    from .base import prepare_base

    with redirect_stdout(sys.stderr):
        base = prepare_base(engine)
    print(
        json.dumps(
            {
                "python": str(engine.python), "comfyui": str(engine.comfyui),
                "base_directory": str(base), "models": str(base / "models"),
            },
            indent=2,
        )
    )  # fmt: skip
    return 0


def serve(engine: Engine, port: int | None) -> int:
    from .base import prepare_base
    from .server import Server, is_free

    if port is not None and not is_free(port):
        raise DevError(f"port {port} is taken or none; choose another with --port")
    base = prepare_base(engine)
    if port is None and is_free(SERVE_PORT):
        port = SERVE_PORT
    print("Starting ComfyUI ...", flush=True)
    with Server(engine, base, port) as server:
        print(f"{server.url}  (base directory {base}; end with Ctrl+C)", flush=True)
        return server.wait()
