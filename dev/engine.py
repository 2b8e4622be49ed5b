"""Which ComfyUI to use, the one that COMFYUI_PATH names or one built in the cache, and how `python dev`
goes on in its Python."""

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ensemble.cluster.machine import find_python

from . import DevError
from .cache import ROOT

OLDEST = (0, 30)
# Tells the second run of `python dev` that it is the second, whose Python it runs in, and which
# Python was asked first (an embedded one cannot make environments).
_INSIDE, LAUNCHER = "ENSEMBLE_DEV_INSIDE", "ENSEMBLE_DEV_LAUNCHER"
_MODULE = (
    "import runpy, sys; sys.path[:0] = ['']; sys.path.append(sys.argv[1]); sys.argv = sys.argv[2:];"
    " runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


@dataclass(frozen=True)
class Engine:
    """A ComfyUI folder and the Python that runs it."""

    python: Path
    comfyui: Path
    given: bool
    """A user's own install: nothing is ever written into it, not even bytecode."""
    extra: Path | None = None
    """A folder of test packages that its Python lacks, searched after its own."""

    def environment(self) -> dict[str, str]:
        """Environment for every process that we start in this engine."""
        environment = {
            **os.environ,
            "COMFYUI_PATH": str(self.comfyui),
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            # Tests and demo use files made here; a try to download must fail at once, not hang.
            "HF_HUB_OFFLINE": "1",
            # Threads that spin while they wait take a shared machine's cores from each other.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
        }
        if self.given:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        return environment

    def command(self, module: str, *arguments: str) -> list[str]:
        """The command that runs `python -m module arguments` with the extra packages in reach.

        Unlike PYTHONPATH it lets the interpreter's own packages win, and works in an embedded one.
        """
        if self.extra is None:
            return [str(self.python), "-m", module, *arguments]
        return [str(self.python), "-c", _MODULE, str(self.extra), module, *arguments]


def venv_python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


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
    return Engine(python, comfyui, given=True)


def check_version(comfyui: Path) -> None:
    text = (comfyui / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r'"(\d+)\.(\d+)[^"]*"', text)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        version = found[0].strip('"') if found else "unknown"
        raise DevError(f"{comfyui} is ComfyUI {version}; update it to 0.30.0 or newer")


def enter(engine: Engine, arguments: list[str]) -> int:
    """Run `python dev arguments` again, in the engine's Python; its exit code."""
    command = [str(engine.python), str(ROOT / "dev"), *arguments]
    environment = {**engine.environment(), LAUNCHER: sys.executable}
    environment[_INSIDE] = "given" if engine.given else "built"
    sys.stdout.flush()
    try:
        if sys.platform != "win32":
            os.execve(command[0], command, environment)  # noqa: S606
        # Windows has no exec: its own gives the shell back while the command still runs.
        with subprocess.Popen(command, env=environment) as second:
            while True:
                # Ctrl+C reaches both; the second ends what it started, and then itself.
                with contextlib.suppress(KeyboardInterrupt):
                    return second.wait()
    except OSError as error:
        raise DevError(f"{engine.python} does not run: {error}") from error


def entered() -> Engine | None:
    """The engine whose Python this is, in the run that `enter` began; processes started from here
    are not taken for it."""
    inside = os.environ.pop(_INSIDE, None)
    if inside is None:
        return None
    comfyui = Path(os.environ["COMFYUI_PATH"])
    return Engine(Path(sys.executable), comfyui, given=inside == "given")


def missing_packages(requirements: Path) -> list[str]:
    """Names in a requirements file that this Python has no distribution of, whatever the
    version."""
    names = re.findall(r"^[A-Za-z0-9._-]+", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for name in names if not any(importlib.metadata.distributions(name=name))]


def check_packages(requirements: Path = ROOT / "requirements.txt") -> None:
    """Say what this Python lacks. Raises DevError where it is not the one that runs ComfyUI."""
    missing = missing_packages(requirements)
    if "torch" in missing:
        raise DevError(
            f"{sys.executable} has no torch; set COMFYUI_PYTHON to the Python that runs ComfyUI"
        )
    if missing:
        command = f'"{sys.executable}" -m pip install -r "{requirements}"'
        print(f"Note: ComfyUI's Python lacks {', '.join(missing)}; install with {command}")
