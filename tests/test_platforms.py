"""What is shipped works on Windows and macOS and on every Python from 3.10 to 3.13, as far as one machine
can tell."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.base import link_folder
from dev.cache import ROOT

from .archive import archive_files

FILES = archive_files()
PYTHON = [name for name in FILES if name.endswith(".py")]
# Device names that Windows gives to no file, whatever the suffix.
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
# Windows takes 260 characters; ComfyUI in a user's folder has a hundred before a pack's own begin.
LONGEST_PATH = 120
POSIX_ONLY = {"fcntl", "grp", "pwd", "resource", "termios", "pty", "posix"}


def test_every_name_is_one_that_windows_and_macos_keep():
    asked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = asked.stdout.splitlines()
    for name in names:
        for part in name.split("/"):
            assert not RESERVED.match(part), name
            assert not re.search(r'[<>:"|?*\\\x00-\x1f]|[. ]$', part), name
        assert len(name) <= LONGEST_PATH, name
    # Both see no difference between a name's upper and lower case.
    assert len({name.casefold() for name in names}) == len(names)


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("name", PYTHON)
def test_a_file_of_code_fits_every_platform(name):
    """It parses on 3.10, names no module of POSIX alone, and says in what encoding it reads text:
    Windows would take the user's code page."""
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 10))
    imported = {
        alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names
    }
    imported |= {
        n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level
    }
    assert not {each.split(".")[0] for each in imported} & POSIX_ONLY
    for call in calls(tree):
        target = call.func
        kind = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if kind in ("read_text", "write_text"):
            given = {keyword.arg for keyword in call.keywords}
            assert "encoding" in given or len(call.args) > (kind == "write_text"), call.lineno
        assert kind not in ("fork", "mkfifo", "geteuid", "getuid"), call.lineno


def pythons() -> dict[str, str]:
    """Interpreters of this machine by version: those on the PATH, and pyenv's."""
    found = {}
    for minor in range(10, 14):
        version = f"3.{minor}"
        homes = sorted(
            Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(
                f"{version}.*"
            )
        )
        candidates = [str(home / "bin" / "python") for home in homes]
        candidates += [shutil.which(f"python{version}") or ""]
        if sys.version_info[:2] == (3, minor):
            candidates.insert(0, sys.executable)
        for candidate in filter(None, candidates):
            asked = subprocess.run(
                [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if asked.stdout.strip() == version:
                found[version] = candidate
                break
    return found


PYTHONS = pythons()


@pytest.fixture(params=["3.10", "3.11", "3.12", "3.13"])
def python(request) -> str:
    if request.param not in PYTHONS:
        pytest.skip(f"no Python {request.param} here")
    return PYTHONS[request.param]


def run(python: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [python, *arguments], capture_output=True, text=True, env=environment, cwd=ROOT, **options
    )


def test_set_up_needs_no_package(python):
    """`python dev` before any environment exists: -S hides what is installed."""
    done = run(python, "-S", "dev", "--help")
    assert done.returncode == 0, done.stderr
    assert "templates" in done.stdout


def test_every_file_compiles(python, tmp_path):
    code = "import sys\nfor name in sys.argv[1:]: compile(open(name, encoding='utf-8').read(), name, 'exec')"
    done = run(python, "-W", "error", "-c", code, *PYTHON)
    assert done.returncode == 0, done.stderr


READ = """
import dataclasses, json, sys
sys.path[:0] = [sys.argv[1]]
from pack.ensemble.prompt.grammar import split_parts
from pack.ensemble.prompt.emphasis import Weights, for_comfy
from pack.ensemble.recipes.reading import read_recipe

seen = []
for file in sys.argv[2:]:
    text = open(file, encoding="utf-8").read()
    seen.append(repr(read_recipe(text, strict=False).require()))
prompt = split_parts("(a:1.2) park BREAK photo BREAK a woman <lora:ann:0.8> BREAK a [man]")
seen += [repr(prompt), for_comfy("((a)) [b] (c:0.5)", Weights.A1111)]
print(json.dumps(seen))
"""


def test_prompts_and_recipes_are_read_alike_on_every_python(python, tmp_path):
    """Without a package: these rooms are pure Python."""
    link_folder(tmp_path / "pack" / "ensemble", ROOT / "ensemble")
    folder = ROOT / "tests" / "fixtures" / "recipes"
    files = [
        str(folder / name)
        for name in ("multi_person.txt", "masked_portrait.txt", "lora_multi.json")
    ]
    done = run(python, "-S", "-c", READ, str(tmp_path), *files)
    assert done.returncode == 0, done.stderr
    here = run(sys.executable, "-c", READ, str(tmp_path), *files)
    assert json.loads(done.stdout) == json.loads(here.stdout)
    assert "ohwx woman" in done.stdout and "ann" in done.stdout
