"""Which ComfyUI to use: the one that COMFYUI_PATH names, else one built in the cache."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .cache import ROOT
from .errors import DevError

OLDEST = (0, 30)
OLDEST_PYTHON, YOUNGEST_PYTHON = (3, 10), (3, 13)


@dataclass(frozen=True)
class Engine:
    """A ComfyUI folder and the Python that runs it.

    `given` is a user's own install: nothing is ever written into it, not even bytecode. `extra` is
    a folder of test packages that its Python lacks, searched after its own.
    """

    python: Path
    comfyui: Path
    given: bool
    extra: Path | None = None

    def environment(self) -> dict[str, str]:
        """Environment for every process that we start in this engine."""
        environment = {
            **os.environ,
            "COMFYUI_PATH": str(self.comfyui),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            # Tests and demo use files made here; a try to download must fail at once, not hang.
            "HF_HUB_OFFLINE": "1",
        }
        if self.given:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return environment

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command that runs `python -m module arguments` with the extra packages in reach."""
        if self.extra is None:
            return [str(self.python), "-m", module, *arguments]
        runner = str(ROOT / "dev" / "run_module.py")
        return [str(self.python), runner, str(self.extra), module, *arguments]


def given_engine() -> Engine | None:
    """The engine of COMFYUI_PATH, checked, or None where that is not set."""
    named = os.environ.get("COMFYUI_PATH")
    if not named:
        return None
    comfyui = Path(named).expanduser().resolve()
    if not (comfyui / "main.py").is_file():
        inside = comfyui / "ComfyUI"
        hint = f"; set COMFYUI_PATH={inside}" if (inside / "main.py").is_file() else ""
        raise DevError(f"COMFYUI_PATH: {comfyui} has no main.py, so it is no ComfyUI folder{hint}")
    check_version(comfyui)
    python = find_python(comfyui)
    if not python.is_file():
        raise DevError(f"COMFYUI_PYTHON: {python} is not a file; name the Python that runs ComfyUI")
    _check_packages(python)
    return Engine(python, comfyui, given=True)


def find_python(comfyui: Path) -> Path:
    """COMFYUI_PYTHON, else the portable build's, else the install's .venv, else this one."""
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        return Path(named).expanduser().absolute()
    for found in (
        comfyui.parent / "python_embeded" / "python.exe",
        comfyui / ".venv" / "bin" / "python",
        comfyui / ".venv" / "Scripts" / "python.exe",
    ):
        if found.is_file():
            return found
    return Path(sys.executable)


def check_version(comfyui: Path) -> None:
    text = (comfyui / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r'"(\d+)\.(\d+)[^"]*"', text)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        version = found[0].strip('"') if found else "unknown"
        raise DevError(f"{comfyui} is ComfyUI {version}; update it to 0.30.0 or newer")


_MISSING = """
import importlib.metadata, json, sys
def lacks(name):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False
print(json.dumps([name for name in sys.argv[1:] if lacks(name)]))
"""


def missing_packages(python: Path, requirements: Path) -> list[str]:
    """Names in a requirements file that `python` has no distribution of, whatever the version."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    names = [found[0] for line in lines if (found := re.match(r"[A-Za-z0-9._-]+", line))]
    answer = subprocess.run(
        [str(python), "-c", _MISSING, *names], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        raise DevError(f"{python} does not run: {answer.stderr.strip().splitlines()[-1]}")
    return json.loads(answer.stdout)


def _check_packages(python: Path) -> None:
    missing = missing_packages(python, ROOT / "requirements.txt")
    if "torch" in missing:
        raise DevError(f"{python} has no torch; set COMFYUI_PYTHON to the Python that runs ComfyUI")
    if missing:
        command = f'"{python}" -m pip install -r "{ROOT / "requirements.txt"}"'
        print(f"Note: ComfyUI's Python lacks {', '.join(missing)}; install with {command}")


_GPU = """
import torch
mps = getattr(torch.backends, "mps", None)
xpu = getattr(torch, "xpu", None)
gpus = [torch.cuda, mps, xpu]
print(any(gpu is not None and gpu.is_available() for gpu in gpus))
"""


def sees_gpu(engine: Engine) -> bool:
    """Whether the engine's torch has any accelerator; without one ComfyUI needs `--cpu`."""
    answer = subprocess.run(
        [str(engine.python), "-c", _GPU],
        capture_output=True,
        text=True,
        check=False,
        env=engine.environment(),
    )
    return answer.stdout.strip() == "True"
