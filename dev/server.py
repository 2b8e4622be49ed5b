"""A real ComfyUI server with this pack, on the loopback interface, ended with the block that
started it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from . import DevError
from .base import PACK_FOLDER
from .engine import Engine

START_SECONDS = 600
TAIL_LINES = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # Without it a port that was in use a minute ago counts as taken on POSIX.
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def sees_gpu() -> bool:
    """Whether this Python's torch has any accelerator; without one ComfyUI needs `--cpu`."""
    import torch

    gpus = (torch.cuda, getattr(torch.backends, "mps", None), getattr(torch, "xpu", None))
    return any(gpu is not None and gpu.is_available() for gpu in gpus)


class Server:
    """`with Server(engine, base) as server:` answers at `server.url` inside the block."""

    def __init__(
        self,
        engine: Engine,
        base: Path,
        port: int | None = None,
        models: dict[str, list[Path]] | None = None,
    ) -> None:
        """`models` are further folders to look in, by kind (`checkpoints`, `loras`, ...)."""
        self.engine = engine
        self.base = base
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="ensemble-server-"))
        self._log = self._folder / "comfyui.log"
        self._models = models or {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self) -> list[str]:
        """ComfyUI's command line; nothing it writes is inside its own folder."""
        arguments = [str(self.engine.python), str(self.engine.comfyui / "main.py")]
        arguments += ["--listen", "127.0.0.1", "--port", str(self.port), "--disable-auto-launch"]
        arguments += ["--base-directory", str(self.base)]
        arguments += ["--database-url", f"sqlite:///{(self._folder / 'comfyui.db').as_posix()}"]
        arguments += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_FOLDER]
        arguments += ["--disable-api-nodes"]
        # A front end other than the installed one, for tests of newer ones.
        if front_end := os.environ.get("ENSEMBLE_FRONT_END"):
            arguments += ["--front-end-root", front_end]
        if self._models:
            arguments += ["--extra-model-paths-config", str(self._write_model_paths())]
        return arguments if sees_gpu() else [*arguments, "--cpu"]

    def _write_model_paths(self) -> Path:
        """JSON is YAML; several folders of one kind go on lines of their own."""
        kinds = {k: "\n".join(map(str, folders)) for k, folders in self._models.items()}
        path = self._folder / "models.yaml"
        path.write_text(json.dumps({"ensemble": kinds}), encoding="utf-8")
        return path

    def _start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self.engine.environment(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            code = self._process.poll()
            if code is not None:
                raise DevError(f"ComfyUI ended with code {code} before it was up. {self._tail()}")
            if time.monotonic() > deadline:
                raise DevError(f"ComfyUI was not up after {START_SECONDS} s. {self._tail()}")
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/system_stats", timeout=5).ok
        except requests.RequestException:
            return False

    def log(self) -> str:
        """Everything the server has printed so far."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def _tail(self) -> str:
        return "The end of its log:\n" + "\n".join(self.log().splitlines()[-TAIL_LINES:])

    def wait(self) -> int:
        """Block until the server ends by itself; only inside the `with` block."""
        return self._process.wait() if self._process else 0

    def stop(self) -> None:
        """End our process, and only that one, then remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # Windows keeps the log locked for a moment after the process is gone.
        shutil.rmtree(self._folder, ignore_errors=sys.platform == "win32")
