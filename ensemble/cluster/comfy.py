"""One ComfyUI as a child process on the loopback interface, and its HTTP.

Standard library alone: it is sent to machines that have nothing of this pack on their Python's path.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TAIL_LINES = 30
_NOT_WEIGHTS = {"custom_nodes", "configs"}
# On Linux the child dies with the thread's process that started it: PR_SET_PDEATHSIG (prctl(2)) is set
# in the child itself and kept over exec, because code between fork and exec of a process with threads
# may hang.
_TIED = """
import ctypes, os, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == parent:
    os.execv(sys.argv[2], sys.argv[2:])
"""


class ChildError(RuntimeError):
    """ComfyUI did not come up, or ended."""


class HttpError(RuntimeError):
    """ComfyUI answered something else than 200; `answer` is its JSON, or its text."""

    def __init__(self, status: int, answer: Any) -> None:
        self.status = status
        self.answer = answer
        super().__init__(f"HTTP {status}: {refusal_text(answer)}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Child:
    """`start`, `wait_until_up`, `stop`; it answers at `url` between the last two."""

    def __init__(
        self,
        *,
        python: str,
        comfyui: str,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        tied: bool = False,
    ) -> None:
        """`folder` gets the log and the database. `tied`: it ends with the process that starts it, even
        where that is killed (Linux)."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._python, self._comfyui, self._arguments = python, comfyui, tuple(arguments)
        self._environment = environment
        self._tied = tied and sys.platform == "linux"
        self._log = folder / "comfyui.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        database = (self.folder / "comfyui.db").as_posix()
        return [
            self._python,
            str(Path(self._comfyui) / "main.py"),
            *("--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"),
            *("--database-url", f"sqlite:///{database}"),
            *self._arguments,
        ]

    def start(self) -> None:
        command = self.command()
        if self._tied:
            command = [self._python, "-c", _TIED, str(os.getpid()), *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the user's ComfyUI
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=None if self._environment is None else dict(self._environment),
            )

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def ended(self) -> int | None:
        """Its exit code once it has ended."""
        return None if self._process is None else self._process.poll()

    def wait_until_up(self, limit: float | None = None) -> float:
        """Seconds until it answered. Without `limit` as long as it takes: the process is watched, not a
        clock, because large installs boot for minutes. Raises ChildError."""
        began = time.monotonic()
        while not self._answers():
            code = self.ended()
            if code is not None:
                raise ChildError(f"ComfyUI ended with code {code} before it was up. {self.tail()}")
            if limit is not None and time.monotonic() - began > limit:
                raise ChildError(f"ComfyUI was not up after {limit:.0f} s. {self.tail()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def _answers(self) -> bool:
        try:
            get_json(f"{self.url}/system_stats", timeout=5)
        except (OSError, ValueError, HttpError):
            return False
        return True

    def memory(self) -> int:
        """Bytes of its GPU."""
        devices = get_json(f"{self.url}/system_stats").get("devices") or [{}]
        return int(devices[0].get("vram_total") or 0)

    def model_files(self) -> list[str]:
        kinds = set(get_json(f"{self.url}/models")) - _NOT_WEIGHTS
        found = [get_json(f"{self.url}/models/{kind}") for kind in kinds]
        return sorted({name for names in found for name in names})

    def wait(self) -> int:
        return self._process.wait() if self._process else 0

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def tail(self) -> str:
        return "The end of its log:\n" + "\n".join(self.log().splitlines()[-TAIL_LINES:])

    def last_words(self) -> str:
        lines = self.log().split("\n")[-5:]
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"; its last line: {last[:200]}" if last else ""

    def stop(self, grace: float = 15.0) -> None:
        """End this process and no other: asked first, then killed. `grace` 0 kills at once."""
        if self._process is None or self._process.poll() is not None:
            return
        if grace:
            self._process.terminate()
            try:
                self._process.wait(timeout=grace)
                return
            except subprocess.TimeoutExpired:
                pass
        self._process.kill()
        self._process.wait()


# A proxy of the environment has no business between two processes of one machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_json(url: str, timeout: float = 60) -> Any:
    """Raises HttpError, OSError and ValueError."""
    return _call(urllib.request.Request(url), timeout)  # noqa: S310 - http of this machine


def post_json(url: str, value: Any, timeout: float = 60) -> Any:
    """Raises HttpError, OSError and ValueError; {} for an answer without a body."""
    request = urllib.request.Request(  # noqa: S310
        url, json.dumps(value).encode(), {"Content-Type": "application/json"}
    )
    return _call(request, timeout)


def _call(request: urllib.request.Request, timeout: float) -> Any:
    try:
        with _OPENER.open(request, timeout=timeout) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        try:
            raise HttpError(error.code, json.loads(text)) from None
        except ValueError:
            raise HttpError(error.code, text[:1000]) from None
    except http.client.HTTPException as error:  # an answer cut short
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    return json.loads(body) if body else {}


def refusal_text(answer: Any) -> str:
    """The reasons for a 400 or 422 of `/prompt` or `/recipes/compile`, a line each."""
    if not isinstance(answer, dict):
        return str(answer)
    error = answer.get("error", "")
    lines: list[str] = [error.get("message", "") if isinstance(error, dict) else str(error)]
    for node in (answer.get("node_errors") or {}).values():
        for each in node["errors"]:
            lines.append(f"{node['class_type']}: {each['message']}: {each['details']}")
    lines += [problem["text"] for problem in answer.get("problems", ())]
    lines += [f"{each['setting']}: {each['hint']}" for each in answer.get("missing", ())]
    return "\n".join(line for line in lines if line)


_GPU = """
import torch
mps = getattr(torch.backends, "mps", None)
xpu = getattr(torch, "xpu", None)
gpus = [torch.cuda, mps, xpu]
print(any(gpu is not None and gpu.is_available() for gpu in gpus))
"""


def sees_gpu(python: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether that Python's torch has any accelerator; without one ComfyUI needs `--cpu`."""
    answer = subprocess.run(  # noqa: S603
        [python, "-c", _GPU],
        capture_output=True,
        text=True,
        check=False,
        env=None if environment is None else dict(environment),
    )
    return answer.stdout.strip() == "True"
