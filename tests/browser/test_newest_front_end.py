"""The tests of the editor against the newest front end that the package index offers."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

PACKAGE = "comfyui-frontend-package"
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_the_editor_in_the_newest_front_end(tmp_path):
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(tmp_path)]
    subprocess.run([*pip, PACKAGE], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (page,) = tmp_path.glob("*/static/index.html")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "browser")],
        cwd=ROOT,
        env={**os.environ, "ENSEMBLE_FRONT_END": str(page.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert told.returncode == 0, f"{wheel.name}\n{told.stdout[-6000:]}"
