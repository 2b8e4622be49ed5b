"""An engine of our own in the cache: a virtual environment with ComfyUI, complete or not there."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from .cache import ROOT, cache_folder, digest
from .engine import OLDEST_PYTHON, YOUNGEST_PYTHON, Engine
from .errors import DevError
from .lock import file_lock
from .packages import CONSTRAINTS, install
from .source import unpack_comfyui

READY = "ready"
# Measured on Linux, where torch brings CUDA's libraries along; elsewhere it is a third of that.
DISK_GB = 10 if sys.platform == "linux" else 4
DOWNLOAD_GB = 3 if sys.platform == "linux" else 1


def engine_folder() -> Path:
    return cache_folder() / f"engine-{digest(CONSTRAINTS.read_bytes())}"


def built_comfyui() -> Path:
    return engine_folder() / "ComfyUI"


def venv_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_ready(folder: Path) -> bool:
    """Whole, and its Python still there (a virtual environment dies with the Python it came
    from)."""
    return (folder / READY).is_file() and venv_python(folder / "python").exists()


def built_engine() -> Engine:
    """The cached engine, built first if it is missing, unfinished or broken."""
    folder = engine_folder()
    engine = Engine(venv_python(folder / "python"), folder / "ComfyUI", given=False)
    if not is_ready(folder):
        with file_lock(cache_folder() / "engine.lock"):
            if not is_ready(folder):
                build(folder)
    return engine


def build(folder: Path) -> None:
    """Make everything in place (a virtual environment cannot be moved) and the marker last."""
    check_python()
    check_disk(folder.parent)
    print(
        f"Setting up ComfyUI in {folder}: about {DOWNLOAD_GB} GB to download, {DISK_GB - 3} GB on"
        " disk, 2 to 10 minutes. This is done once.",
        flush=True,
    )
    for other in sorted(folder.parent.glob("engine-*/")):
        if other != folder:
            print(f"  ({other} is of another version; delete it if no other clone needs it.)")
    started = time.monotonic()
    if folder.exists():
        print("  removing what an earlier call left unfinished", flush=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    python = make_venv(folder / "python")
    print("  [1/2] ComfyUI's source", flush=True)
    unpack_comfyui(python, folder / "ComfyUI")
    print("  [2/2] torch and the other packages", flush=True)
    requirements = [folder / "ComfyUI" / "requirements.txt", ROOT / "requirements.txt"]
    requirements += [ROOT / "dev" / "requirements-engine.txt"]
    install(python, requirements, "installing ComfyUI's packages")
    (folder / READY).touch()
    print(f"ComfyUI is set up ({time.monotonic() - started:.0f} s).", flush=True)


def make_venv(folder: Path) -> Path:
    made = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise DevError(
            f"{sys.executable} cannot make a virtual environment; install its venv module"
            " (Debian and Ubuntu: apt install python3-venv)"
        )
    return venv_python(folder)


def check_python() -> None:
    if not OLDEST_PYTHON <= sys.version_info[:2] <= YOUNGEST_PYTHON:
        raise DevError(
            f"this is Python {sys.version_info[0]}.{sys.version_info[1]}; run `python dev` with"
            " Python 3.10, 3.11, 3.12 or 3.13"
        )


def check_disk(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free / 1e9
    if free < DISK_GB:
        raise DevError(
            f"{cache} has {free:.1f} GB free and the set-up needs {DISK_GB}; free some, or point"
            " ENSEMBLE_CACHE at another disk"
        )
