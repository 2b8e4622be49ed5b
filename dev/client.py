"""A client of ComfyUI's HTTP API, for the demo and the live tests."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import requests

from ensemble.cluster.comfy import refusal_text

from . import DevError

Graph = dict[str, dict[str, Any]]
Progress = Callable[[str, int, int], None]

ENDINGS = {
    "execution_success": "success",
    "execution_error": "error",
    "execution_interrupted": "interrupted",
}


class RefusedError(DevError):
    """POST /prompt answered something else than 200."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.status = status
        self.answer = answer
        super().__init__(f"HTTP {status}: {refusal_text(answer)}")


@dataclass(frozen=True)
class Picture:
    """One picture of a run: saved, or only shown on its node."""

    node: str
    filename: str
    data: bytes
    saved: bool


@dataclass
class Run:
    """What a queued graph came to."""

    prompt_id: str
    status: str = ""
    error: str = ""
    executed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)


class Client:
    """Talks to one server, e.g. `Client("http://127.0.0.1:8188")`."""

    def __init__(self, url: str, timeout: float = 600) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout

    def request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body of any route; a status that tells of an error is returned, not raised."""
        headers = {"Content-Type": kind} if body is not None else {}
        answer = self._send(method, path, data=body, headers=headers)
        return answer.status_code, answer.content

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return requests.request(method, self.url + path, timeout=self.timeout, **options)
        except requests.RequestException as error:
            raise ConnectionError(f"{method} {path}: {error}") from error

    def get_json(self, path: str) -> Any:
        return _json(self._send("GET", path))

    def post_json(self, path: str, value: Any) -> tuple[int, Any]:
        """Status and parsed answer (the raw text where it is not JSON)."""
        answer = self._send("POST", path, json=value)
        try:
            return answer.status_code, answer.json() if answer.content else {}
        except ValueError:
            return answer.status_code, answer.text

    def post(self, graph: Graph, client_id: str = "") -> tuple[int, dict[str, Any]]:
        """POST /prompt; with 200 the answer has `prompt_id`, else `error` and `node_errors`."""
        return self.post_json("/prompt", {"prompt": graph, "client_id": client_id})

    def object_info(self) -> dict[str, Any]:
        return self.get_json("/object_info")

    def upload(self, name: str, data: bytes) -> str:
        """Put a picture into ComfyUI's input folder, over one of the same name; returns its
        name."""
        form = {"data": {"overwrite": "true"}, "files": {"image": (name, data)}}
        return _json(self._send("POST", "/upload/image", **form))["name"]

    def run(self, graph: Graph, progress: Progress | None = None) -> Run:
        """Queue a graph and follow it to its end. Raises RefusedError where it is not taken.

        `progress(node id, step, steps)` is called for each step of each node.
        """
        try:
            run = asyncio.run(self._follow(graph, progress))
        except aiohttp.ClientError as error:
            raise ConnectionError(f"{self.url}/ws: {error}") from error
        run.outputs = self.get_json(f"/history/{run.prompt_id}")[run.prompt_id]["outputs"]
        return run

    async def _follow(self, graph: Graph, progress: Progress | None) -> Run:
        client_id = uuid.uuid4().hex
        patience = aiohttp.ClientWSTimeout(ws_receive=self.timeout)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"{self.url}/ws?clientId={client_id}", timeout=patience, max_msg_size=0
            ) as socket,
        ):
            # Listen first, post second: no event of a quick graph is missed.
            status, answer = self.post(graph, client_id)
            if status != 200:
                raise RefusedError(status, answer)
            run = Run(answer["prompt_id"])
            async for name, data in _events(socket, run.prompt_id):
                _note(run, name, data, progress)
                # Sent after the history has the outcome, unlike execution_success.
                if name == "executing" and data["node"] is None:
                    return run
        raise ConnectionError("ComfyUI ended the connection")

    def pictures(self, run: Run) -> list[Picture]:
        """The pictures that a run saved or previewed, in the order of its nodes."""
        found = []
        for node, output in run.outputs.items():
            for image in output.get("images", []):
                answer = self._send("GET", "/view", params=image)
                if not answer.ok:
                    raise ConnectionError(f"GET {answer.url}: HTTP {answer.status_code}")
                saved = image["type"] == "output"
                found.append(Picture(node, image["filename"], answer.content, saved))
        return found


def read_graph(path: Path) -> Graph:
    return json.loads(path.read_text(encoding="utf-8"))


def _json(answer: requests.Response) -> Any:
    if answer.status_code != 200:
        raise ConnectionError(f"{answer.url}: HTTP {answer.status_code}: {answer.content[:300]!r}")
    return answer.json()


async def _events(
    socket: aiohttp.ClientWebSocketResponse, prompt_id: str
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Type and data of every message about one prompt; binary ones (previews) are skipped."""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            event = json.loads(message.data)
            if event["data"].get("prompt_id") == prompt_id:
                yield event["type"], event["data"]


def _note(run: Run, name: str, data: dict[str, Any], progress: Progress | None) -> None:
    run.messages.append((name, data))
    if name == "executing" and data["node"]:
        run.executed.append(data["node"])
    elif name == "execution_cached":
        run.cached = list(data["nodes"])
    elif name == "progress" and progress:
        progress(data["node"], data["value"], data["max"])
    if name == "execution_error":
        run.error = f"{data['node_type']}: {data['exception_type']}: {data['exception_message']}"
    run.status = ENDINGS.get(name, run.status)
