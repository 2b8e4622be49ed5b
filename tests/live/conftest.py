"""A real ComfyUI server with the pack and the small models, started once per pytest session."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dev.base import engine_of_this_python, make_base
from dev.client import Client, Graph, Run
from dev.server import Server


@dataclass(frozen=True)
class Result:
    """A finished run. `executed` and `cached` are node ids, `log` is what the server printed
    meanwhile."""

    run: Run
    images: list[Image.Image]
    files: list[bytes]
    log: str

    @property
    def status(self) -> str:
        return self.run.status

    @property
    def error(self) -> str:
        return self.run.error

    @property
    def executed(self) -> list[str]:
        return self.run.executed

    @property
    def cached(self) -> list[str]:
        return self.run.cached

    @property
    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        return self.run.messages

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        return self.run.outputs


class LiveServer:
    """What a test asks of the server; `client` has the rest (any route, raw bytes)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url
        self.base: Path = server.base
        self.client = Client(server.url)

    def post(self, graph: Graph) -> tuple[int, dict[str, Any]]:
        """POST /prompt: the status and the answer. A graph that is taken (200) runs: prefer `run`
        for those."""
        return self.client.post(graph)

    def run(self, graph: Graph) -> Result:
        """Queue, wait to the end, fetch the pictures. Raises dev.client.RefusedError where it is not
        taken."""
        before = len(self.log())
        run = self.client.run(graph)
        pictures = self.client.pictures(run)
        return Result(
            run,
            [Image.open(BytesIO(picture.data)) for picture in pictures],
            [picture.data for picture in pictures],
            self.log()[before:],
        )

    def upload(self, picture: str | Path | Image.Image, name: str | None = None) -> str:
        """Put a picture file or a PIL image into the input folder; returns the name for
        LoadImage."""
        if isinstance(picture, Image.Image):
            buffer = BytesIO()
            picture.save(buffer, format="PNG")
            return self.client.upload(name or "picture.png", buffer.getvalue())
        path = Path(picture)
        return self.client.upload(name or path.name, path.read_bytes())

    def object_info(self) -> dict[str, Any]:
        return self.client.object_info()

    def log(self) -> str:
        """All that the server printed since its start."""
        return self._server.log()


@pytest.fixture(scope="session")
def server() -> Iterator[LiveServer]:
    with tempfile.TemporaryDirectory(prefix="ensemble-live-", ignore_cleanup_errors=True) as folder:
        models = Path(os.environ["ENSEMBLE_BASE"]) / "models"
        base = make_base(Path(folder), models.resolve())
        with Server(engine_of_this_python(), base) as running:
            yield LiveServer(running)


@contextmanager
def environment(**switches: str) -> Iterator[None]:
    """What a server started inside reads."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in switches.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def api_server() -> Iterator[LiveServer]:
    """A second server, with the API switched on and webhooks to this machine allowed."""
    with tempfile.TemporaryDirectory(prefix="ensemble-api-", ignore_cleanup_errors=True) as folder:
        models = Path(os.environ["ENSEMBLE_BASE"]) / "models"
        base = make_base(Path(folder), models.resolve())
        with ExitStack() as stack:
            with environment(ENSEMBLE_API="1", ENSEMBLE_WEBHOOK_HOSTS="127.0.0.1"):
                running = stack.enter_context(Server(engine_of_this_python(), base))
            yield LiveServer(running)
