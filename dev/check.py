"""`python dev test`: lint, types, import contracts, then pytest, whose summary comes last."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .base import link_folder
from .build import venv_python
from .cache import ROOT
from .engine import Engine
from .setup import prepare_base, prepare_engine
from .tools import with_tools

QUICK = "not live and not browser and not slow and not long"


def run(quick: bool, slow: bool, pytest_arguments: list[str]) -> int:
    """Every step runs, whatever the ones before it said; 0 only if all passed."""
    engine = with_tools(prepare_engine())
    base = prepare_base(engine)
    with tempfile.TemporaryDirectory() as folder:
        checks = static_checks(engine, Path(folder))
        failed = [name for name, step in checks if not call(engine, name, step, folder)]
    print("== pytest", flush=True)
    code = subprocess.run(
        pytest_command(engine, quick, slow, pytest_arguments),
        cwd=ROOT,
        env={**engine.environment(), "ENSEMBLE_BASE": str(base)},
        check=False,
    ).returncode
    if failed:
        print(f"Before pytest, these failed (see above): {', '.join(failed)}", flush=True)
    return code or int(bool(failed))


def static_checks(engine: Engine, folder: Path) -> list[tuple[str, list[str]]]:
    return [
        ("ruff check", engine.command("ruff", "check", ".")),
        ("ruff format", engine.command("ruff", "format", "--check", ".")),
        ("pyright", engine.command("pyright", "--pythonpath", str(bare_python(folder / "bare")))),
        ("import contracts", engine.command("dev.contracts")),
    ]


def bare_python(folder: Path) -> Path:
    """A Python without packages: types are checked among our own files, and the outcome does not
    hang on whose torch or numpy is installed (torch gives every submodule as `Tensor | Module`)."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    return venv_python(folder)


def pytest_command(engine: Engine, quick: bool, slow: bool, others: list[str]) -> list[str]:
    options = ["-m", QUICK] if quick else []
    options += ["--slow"] if slow else []
    return engine.command("pytest", *options, *others)


def call(engine: Engine, name: str, command: list[str], folder: str) -> bool:
    """Run one check from the repository's root, with the repository importable under its name."""
    print(f"== {name}", flush=True)
    package = Path(folder) / "ensemble_portraits"
    link_folder(package, ROOT)
    environment = engine.environment()
    others = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = folder + (os.pathsep + others if others else "")
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 0
