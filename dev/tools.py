"""The test tools: in a built engine's own environment, beside a user's."""

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path

from .build import engine_folder
from .cache import ROOT, cache_folder, digest
from .engine import Engine, missing_packages
from .errors import DevError
from .lock import file_lock
from .packages import install, pip

REQUIREMENTS = ROOT / "dev" / "requirements-test.txt"


def with_tools(engine: Engine) -> Engine:
    """The engine with everything that `python dev test` runs, installed now if it is missing."""
    if engine.given:
        return _beside(engine)
    marker = engine_folder() / f"tools-{digest(REQUIREMENTS.read_bytes())}"
    if not marker.exists():
        with file_lock(cache_folder() / "engine.lock"):
            if not marker.exists():
                print("Installing the test tools (about 0.3 GB, a minute) ...", flush=True)
                install(engine.python, [REQUIREMENTS], "installing the test tools")
                marker.touch()
    return engine


def _beside(engine: Engine) -> Engine:
    """A user's environment stays as it is: what it lacks goes into a folder of ours."""
    if not missing_packages(engine.python, REQUIREMENTS):
        return engine
    listed = [str(engine.python), "-m", "pip", "list", "--format=freeze"]
    pins = subprocess.run(listed, capture_output=True, check=False).stdout
    if not pins:
        raise DevError(f"{engine.python} has no pip; install {REQUIREMENTS} into it yourself")
    folder = cache_folder() / f"tools-{digest(REQUIREMENTS.read_bytes(), pins)}"
    if not folder.is_dir():
        with file_lock(cache_folder() / "engine.lock"):
            if not folder.is_dir():
                _install_beside(engine.python, folder, pins)
    return dataclasses.replace(engine, extra=folder)


def _install_beside(python: Path, folder: Path, pins: bytes) -> None:
    """Ask pip what is missing beside what is there (never moving that), and put just this away."""
    print(f"Installing the test tools into {folder} (about 0.3 GB, a minute) ...", flush=True)
    constraints = folder.with_suffix(".txt")
    constraints.parent.mkdir(parents=True, exist_ok=True)
    constraints.write_bytes(pins)
    report = folder.with_suffix(".json")
    arguments = ["install", "--dry-run", "--quiet", "--report", str(report)]
    arguments += ["--constraint", str(constraints), "--requirement", str(REQUIREMENTS)]
    pip(python, arguments, "looking for the test tools")
    planned = json.loads(report.read_text(encoding="utf-8"))["install"]
    names = [f"{item['metadata']['name']}=={item['metadata']['version']}" for item in planned]
    unfinished = folder.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    target = ["install", "--quiet", "--no-deps", "--target", str(unfinished)]
    pip(python, [*target, *names], "installing the test tools")
    unfinished.rename(folder)
