import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev.cache import ROOT

PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==[0-9][^ ;]*( ; [^@]+)?")
FILES = [
    ROOT / "requirements.txt",
    ROOT / "dev" / "requirements-engine.txt",
    ROOT / "dev" / "requirements-test.txt",
    Path(os.environ["COMFYUI_PATH"]) / "requirements.txt",
]


def pins() -> set[str]:
    lines = (ROOT / "dev" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [PIN.fullmatch(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return {match[1] for match in found if match}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_whatever_is_asked_for_is_pinned(path):
    found = re.findall(
        r"^([A-Za-z0-9._-]+)(==\S+)?", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found
    # Only the test tools pin for themselves; their reason stands in the file.
    own = {name for name, pin in found if pin and path.name == "requirements-test.txt"}
    asked = {re.sub("[._]", "-", name.lower()) for name, _ in found if name not in own}
    assert asked <= pins()


def test_constraints_name_versions_and_no_addresses():
    assert len(pins()) > 100
    assert "://" not in (ROOT / "dev" / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("system", ["linux", "windows", "macos"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
def test_every_promised_python_finds_them(python, system, tmp_path):
    """A pin that has dropped a Python stops `python dev` there before anything runs."""
    asked = ["--python-version", python, "--python-platform", system]
    asked += ["--constraint", str(ROOT / "dev" / "constraints.txt"), *map(str, FILES)]
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", *asked]
    done = subprocess.run([*command, "-o", str(tmp_path / "found")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
