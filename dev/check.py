"""`python dev test`: lint, types, import contracts, then pytest, whose summaries come last."""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .base import link_folder, make_base, prepare_base
from .build import engine_folder
from .cache import ROOT, cache_folder, digest, file_lock
from .engine import LAUNCHER, Engine, missing_packages, venv_python
from .packages import install, pip

REQUIREMENTS = ROOT / "dev" / "requirements-test.txt"
ROOMS = (
    "dolls", "faces", "film", "language", "leak", "lora", "pose", "prompt", "recipes", "regional",
    "regions", "safety", "sampling", "segment", "server", "live/test_dit_templates.py",
    "live/test_photos.py",
)  # fmt: skip
COMPUTING = [f"tests/{room}" for room in ROOMS]
"""Tests that compute more than they wait: so many that both lanes take about as long."""
LANES = (["tests", *(f"--ignore={room}" for room in COMPUTING)], COMPUTING)
"""What runs side by side where everything runs: servers and browsers wait much."""
NEWEST = "tests/live/test_newest.py"
QUICK = "not live and not browser and not slow and not long"


def run(engine: Engine, arguments: argparse.Namespace, others: list[str]) -> int:
    """Every step runs, whatever the ones before it said; 0 only if all passed."""
    engine = with_tools(engine)
    base = prepare_base(engine)
    with tempfile.TemporaryDirectory() as folder:
        checks = static_checks(engine, Path(folder))
        failed = [name for name, step in checks if not call(engine, name, step, folder)]
    options = ["-m", QUICK] if arguments.quick else []
    options += ["--slow"] if arguments.slow else []
    options += ["--slow", NEWEST] if arguments.newest else []
    whole = not (others or arguments.quick or arguments.newest)
    lanes = LANES if whole else [others]
    codes = run_lanes(engine, [[*options, *lane] for lane in lanes], base)
    if failed:
        print(f"Before pytest, these failed (see above): {', '.join(failed)}", flush=True)
    return max(codes, key=abs) or int(bool(failed))


def run_lanes(engine: Engine, lanes: list[list[str]], base: Path) -> list[int]:
    """Run pytest with each of these arguments, side by side; the exit codes. The first shows what it does,
    the others what they did."""
    threads = max(1, (os.cpu_count() or 1) // len(lanes))
    with tempfile.TemporaryDirectory() as folder:
        first, *others = [
            Lane(number, engine, lane, base, Path(folder), threads)
            for number, lane in enumerate(lanes)
        ]
        try:
            codes = [lane.process.wait() for lane in (first, *others)]
        finally:  # Ctrl+C reaches them too; their folders go when they have gone
            for lane in others:
                lane.process.wait()
        for lane in others:
            print(lane.output.read_text(encoding="utf-8", errors="replace"), flush=True)
    if others:
        ends = ", ".join(
            f"{' '.join(lane)}: {code}" for lane, code in zip(lanes, codes, strict=True)
        )
        print(f"pytest ended with {ends}", flush=True)
    return codes


class Lane:
    """A pytest with a base directory of its own, so that no two write into one, and its share of the
    processor's threads: more of them only wait for each other."""

    def __init__(
        self,
        number: int,
        engine: Engine,
        arguments: list[str],
        base: Path,
        folder: Path,
        threads: int,
    ):
        environment = {"OMP_NUM_THREADS": str(threads), **engine.environment()}
        environment |= {"ENSEMBLE_BASE": str(base)}
        self.output = folder / f"{number}.log"
        stream = None
        if number:
            own = make_base(folder / f"base{number}", (base / "models").resolve())
            environment |= {"ENSEMBLE_BASE": str(own)}
            stream = self.output.open("wb")
        print(f"== pytest {' '.join(arguments)}", flush=True)
        self.process = subprocess.Popen(
            engine.command("pytest", *arguments), cwd=ROOT, env=environment, stdout=stream,
            stderr=subprocess.STDOUT,
        )  # fmt: skip


def static_checks(engine: Engine, folder: Path) -> list[tuple[str, list[str]]]:
    return [
        ("ruff check", engine.command("ruff", "check", ".")),
        ("ruff format", engine.command("ruff", "format", "--check", ".")),
        ("pyright", engine.command("pyright", "--pythonpath", str(bare_python(folder / "bare")))),
        ("import contracts", engine.command("dev.check")),
    ]


def bare_python(folder: Path) -> Path:
    """A Python without packages: types are checked among our own files, and the outcome does not
    hang on whose torch or numpy is installed (torch gives every submodule as `Tensor | Module`)."""
    python = os.environ.get(LAUNCHER, sys.executable)
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    return venv_python(folder)


def call(engine: Engine, name: str, command: list[str], folder: str) -> bool:
    """Run one check from the repository's root, with the repository importable under its name."""
    print(f"== {name}", flush=True)
    link_folder(Path(folder) / "ensemble_portraits", ROOT)
    environment = engine.environment()
    others = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = folder + (os.pathsep + others if others else "")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0


def with_tools(engine: Engine) -> Engine:
    """The engine with everything that `python dev test` runs, installed now if it is missing: into a
    built engine, beside a user's."""
    if engine.given:
        return _beside(engine) if missing_packages(REQUIREMENTS) else engine
    marker = engine_folder() / f"tools-{digest(REQUIREMENTS.read_bytes())}"
    with file_lock(cache_folder() / "engine.lock"):
        if not marker.exists():
            print("Installing the test tools (about 0.3 GB, a minute) ...", flush=True)
            install(engine.python, [REQUIREMENTS], "installing the test tools")
            marker.touch()
    return engine


def _beside(engine: Engine) -> Engine:
    """A user's environment stays as it is: what it lacks goes into a folder of ours. pip says what
    is missing beside what is there (never moving that), and just this is put away."""
    there = importlib.metadata.distributions()
    pins = "\n".join(sorted({f"{each.name}=={each.version}" for each in there})).encode()
    folder = cache_folder() / f"tools-{digest(REQUIREMENTS.read_bytes(), pins)}"
    with file_lock(cache_folder() / "engine.lock"):
        if not folder.is_dir():
            print(f"Installing the test tools into {folder} (0.3 GB, a minute) ...", flush=True)
            constraints, report = folder.with_suffix(".txt"), folder.with_suffix(".json")
            constraints.write_bytes(pins)
            arguments = ["install", "--dry-run", "--quiet", "--report", str(report)]
            arguments += ["--constraint", str(constraints), "--requirement", str(REQUIREMENTS)]
            pip(engine.python, arguments, "looking for the test tools")
            planned = json.loads(report.read_text(encoding="utf-8"))["install"]
            names = [
                f"{each['metadata']['name']}=={each['metadata']['version']}" for each in planned
            ]
            unfinished = folder.with_suffix(".part")
            shutil.rmtree(unfinished, ignore_errors=True)
            target = ["install", "--quiet", "--no-deps", "--target", str(unfinished)]
            pip(engine.python, [*target, *names], "installing the test tools")
            unfinished.rename(folder)
    return dataclasses.replace(engine, extra=folder)


if __name__ == "__main__":
    # import-linter has no `python -m` of its own.
    from importlinter.cli import lint_imports_command

    lint_imports_command(["--no-logo"])
