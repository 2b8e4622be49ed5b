"""A real ComfyUI server with this pack, on the loopback interface, ended with the block that
started it."""

import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from ensemble.cluster.comfy import Child, ChildError, free_port

from . import DevError
from .base import PACK_FOLDER
from .engine import Engine

__all__ = ["Server", "free_port", "is_free", "sees_gpu"]
START_SECONDS = 600


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
    """Whether this Python's torch has any accelerator; without one ComfyUI needs `--cpu`. Here torch is
    loaded already: asking another Python (comfy.sees_gpu) takes seconds."""
    import torch

    gpus = (torch.cuda, getattr(torch.backends, "mps", None), getattr(torch, "xpu", None))
    return any(gpu is not None and gpu.is_available() for gpu in gpus)


class Server(Child):
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
        self._models = models or {}
        super().__init__(
            python=str(engine.python),
            comfyui=str(engine.comfyui),
            arguments=(),
            folder=Path(tempfile.mkdtemp(prefix="ensemble-server-")),
            environment=engine.environment(),
            port=port,
        )

    def __enter__(self) -> "Server":
        try:
            self.start()
            self.wait_until_up(START_SECONDS)
        except ChildError as error:
            self.stop()
            raise DevError(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self) -> list[str]:
        """ComfyUI's command line; nothing it writes is inside its own folder."""
        arguments = [*super().command(), "--base-directory", str(self.base)]
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
        path = self.folder / "models.yaml"
        path.write_text(json.dumps({"ensemble": kinds}), encoding="utf-8")
        return path

    def stop(self, grace: float = 15.0) -> None:
        """End our process, and only that one, then remove its folder."""
        super().stop(grace)
        # Windows keeps the log locked for a moment after the process is gone.
        shutil.rmtree(self.folder, ignore_errors=sys.platform == "win32")
