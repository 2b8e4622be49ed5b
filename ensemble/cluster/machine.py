"""Which ComfyUI a machine runs, and with which Python."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .worker import ARGUMENTS, COMFYUI, PYTHON

_PACK = Path(__file__).resolve().parents[2]


class MachineError(ValueError):
    """No ComfyUI, or no Python for it."""


@dataclass(frozen=True)
class Machine:
    """`arguments` go to every ComfyUI that is started here."""

    python: Path
    comfyui: Path
    arguments: tuple[str, ...] = ()

    def setup(self) -> dict[str, Any]:
        """What a worker is given (worker.py)."""
        return {
            "python": str(self.python),
            "comfyui": str(self.comfyui),
            "arguments": list(self.arguments),
        }

    def environment(self) -> dict[str, str]:
        """What this machine says of itself to the workers on it."""
        return {
            PYTHON: str(self.python),
            COMFYUI: str(self.comfyui),
            ARGUMENTS: json.dumps(list(self.arguments)),
        }


def find_machine(comfyui: Path | None, python: Path | None, arguments: Sequence[str]) -> Machine:
    """What was said, else COMFYUI_PATH and COMFYUI_PYTHON, else the ComfyUI that this pack lies in.
    Raises MachineError."""
    named = os.environ.get("COMFYUI_PATH")
    folder = comfyui or (Path(named).expanduser() if named else _PACK.parents[1])
    folder = folder.resolve()
    if not (folder / "main.py").is_file():
        raise MachineError(
            f"{folder} has no main.py, so it is no ComfyUI; name one with --comfyui FOLDER"
        )
    found = python or find_python(folder)
    if not found.is_file():
        raise MachineError(f"{found} is not a file; name the Python that runs ComfyUI by --python")
    return Machine(found.absolute(), folder, tuple(arguments))


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
