"""The editor's scripts: typed, and tidy neighbours of everybody else's."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dev.cache import ROOT, cache_folder

TYPESCRIPT = "5.9.3"
SCRIPTS = sorted((ROOT / "web").rglob("*.js"))


@pytest.fixture(scope="module")
def tsc() -> Path:
    """TypeScript's compiler, from npm into the cache, once."""
    folder = cache_folder() / f"typescript-{TYPESCRIPT}"
    compiler = folder / "node_modules" / "typescript" / "lib" / "tsc.js"
    if not compiler.is_file():
        npm = shutil.which("npm")
        if not npm:
            pytest.skip("needs npm, or node with TypeScript in the cache")
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-save"]
        done = subprocess.run(
            [*command, f"typescript@{TYPESCRIPT}"], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"npm could not fetch TypeScript: {done.stderr.strip()[-200:]}")
    return compiler


def test_the_types_hold(tsc):
    node = shutil.which("node")
    if not node:
        pytest.skip("needs node")
    command = [node, str(tsc), "-p", str(ROOT / "dev" / "tsconfig.json")]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_a_tidy_neighbour(path):
    source = path.read_text(encoding="utf-8")
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", source, flags=re.DOTALL)
    assert len(source.splitlines()) < 300
    for forbidden in (
        r"\.prototype\b", r"\binnerHTML\b", r"\bouterHTML\b", r"insertAdjacentHTML",
        r"\beval\(", r"new Function", r"globalThis", r"window\.\w+\s*=[^=]",
        r"(?:window|document)\.addEventListener", r"localStorage", r"console\.",
    ):  # fmt: skip
        assert not re.search(forbidden, code), f"{path.name} has {forbidden}"
    if path.name != "api.js":
        assert "/scripts/" not in code and "fetch(" not in code, "only api.js talks to ComfyUI"
