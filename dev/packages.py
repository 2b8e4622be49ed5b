"""Installing packages, with what goes wrong said in one line."""

import re
import subprocess
import sys
from pathlib import Path

from . import DevError
from .cache import ROOT

CONSTRAINTS = ROOT / "dev" / "constraints.txt"

_DISK = re.compile(r"no space left|errno 28|disk quota|not enough space", re.IGNORECASE)
_NETWORK = re.compile(
    r"name resolution|newconnectionerror|failed to establish|connection (refused|reset|error)"
    r"|timed out|dns error|error sending request|could not connect|max retries"
    r"|network is unreachable|no matching distribution|proxyerror",
    re.IGNORECASE,
)


def explain(what: str, output: str) -> DevError:
    """The one line for a failed install."""
    if _DISK.search(output):
        advice = "the disk is full; free 10 GB, or point ENSEMBLE_CACHE at another disk"
        return DevError(f"{what}: {advice}")
    if _NETWORK.search(output):
        advice = "the package index cannot be reached; check the network, or set COMFYUI_PATH to an"
        return DevError(f"{what}: {advice} installed ComfyUI")
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "no output")
    return DevError(f"{what} failed: {last.strip()}")


def stream(command: list[str], environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command, showing its lines as they come; returns its exit code and what it printed."""
    process = subprocess.Popen(
        command,
        env=environment,
        # On POSIX the child keeps the set-up's lock (lock.py).
        close_fds=sys.platform == "win32",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines = []
    with process:
        for line in process.stdout or ():
            lines.append(line)
            # uv's list of a hundred names says nothing that constraints.txt does not.
            if not line.startswith((" + ", " - ")):
                print("  " + line.rstrip()[:160], flush=True)
    return process.returncode, "".join(lines)


def pip(python: Path, arguments: list[str], what: str) -> None:
    """`pip arguments` in `python`; raises DevError with the reason."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    code, output = stream(command)
    if code != 0:
        raise explain(what, output)


def install(python: Path, requirements: list[Path], what: str) -> None:
    """Install requirement files at the versions that constraints.txt pins.

    uv takes a third of pip's time. It does not read pip's settings (mirrors, certificates), so
    where it fails pip has a try of its own.
    """
    arguments = ["install", "--constraint", str(CONSTRAINTS)]
    for path in requirements:
        arguments += ["--requirement", str(path)]
    pip(python, ["install", "--quiet", "--constraint", str(CONSTRAINTS), "uv"], what)
    uv = [str(python), "-m", "uv", "pip", *arguments, "--python", str(python)]
    code, output = stream(uv)
    if code == 0:
        return
    if _DISK.search(output):
        raise explain(what, output)
    print("  uv did not manage; trying pip ...", flush=True)
    pip(python, arguments, what)
