"""A client of ComfyUI's HTTP API, for the demo and the live tests."""

import json
import mimetypes
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .websocket import WebSocketReader

Graph = dict[str, dict[str, Any]]
Progress = Callable[[str, int, int], None]

ENDINGS = {
    "execution_success": "success",
    "execution_error": "error",
    "execution_interrupted": "interrupted",
}


class RefusedError(Exception):
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
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def get_json(self, path: str) -> Any:
        status, body = self.request("GET", path)
        if status != 200:
            raise ConnectionError(f"GET {path}: HTTP {status}: {body[:300]!r}")
        return json.loads(body)

    def post_json(self, path: str, value: Any) -> tuple[int, Any]:
        """Status and parsed answer (the raw text where it is not JSON)."""
        status, body = self.request("POST", path, json.dumps(value).encode())
        try:
            return status, json.loads(body) if body else {}
        except ValueError:
            return status, body.decode(errors="replace")

    def post(self, graph: Graph, client_id: str = "") -> tuple[int, dict[str, Any]]:
        """POST /prompt; with 200 the answer has `prompt_id`, else `error` and `node_errors`."""
        return self.post_json("/prompt", {"prompt": graph, "client_id": client_id})

    def object_info(self) -> dict[str, Any]:
        return self.get_json("/object_info")

    def upload(self, name: str, data: bytes) -> str:
        """Put a picture into ComfyUI's input folder, over one of the same name; returns its
        name."""
        mark = uuid.uuid4().hex
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        head = 'Content-Disposition: form-data; name="{}"'
        body = (
            f"--{mark}\r\n{head.format('overwrite')}\r\n\r\ntrue\r\n"
            f'--{mark}\r\n{head.format("image")}; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
        ).encode() + data
        body += f"\r\n--{mark}--\r\n".encode()
        status, answer = self.request(
            "POST", "/upload/image", body, f"multipart/form-data; boundary={mark}"
        )
        if status != 200:
            raise ConnectionError(f"upload of {name}: HTTP {status}: {answer[:300]!r}")
        return json.loads(answer)["name"]

    def run(self, graph: Graph, progress: Progress | None = None) -> Run:
        """Queue a graph and follow it to its end. Raises RefusedError where it is not taken.

        `progress(node id, step, steps)` is called for each step of each node.
        """
        client_id = uuid.uuid4().hex
        address = self.url.replace("http", "ws", 1) + f"/ws?clientId={client_id}"
        with closing(WebSocketReader(address, self.timeout)) as reader:
            # Listen first, post second: no event of a quick graph is missed.
            status, answer = self.post(graph, client_id)
            if status != 200:
                raise RefusedError(status, answer)
            run = Run(answer["prompt_id"])
            for name, data in _events(reader.messages(), run.prompt_id):
                _note(run, name, data, progress)
                # Sent after the history has the outcome, unlike execution_success.
                if name == "executing" and data["node"] is None:
                    break
        run.outputs = self.get_json(f"/history/{run.prompt_id}")[run.prompt_id]["outputs"]
        return run

    def pictures(self, run: Run) -> list[Picture]:
        """The pictures that a run saved or previewed, in the order of its nodes."""
        found = []
        for node, output in run.outputs.items():
            for image in output.get("images", []):
                query = urllib.parse.urlencode({k: image[k] for k in image if k != "animated"})
                status, data = self.request("GET", f"/view?{query}")
                if status != 200:
                    raise ConnectionError(f"GET /view?{query}: HTTP {status}")
                found.append(Picture(node, image["filename"], data, image["type"] == "output"))
        return found


def read_graph(path: Path) -> Graph:
    return json.loads(path.read_text(encoding="utf-8"))


def refusal_text(answer: Any) -> str:
    """The server's reasons for a 400 as lines of `node class, input: message`."""
    if not isinstance(answer, dict):
        return str(answer)
    lines: list[str] = [answer.get("error", {}).get("message", "")]
    for node in (answer.get("node_errors") or {}).values():
        for error in node["errors"]:
            lines.append(f"{node['class_type']}: {error['message']}: {error['details']}")
    return "\n".join(line for line in lines if line)


def _events(messages: Iterator[str], prompt_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for message in messages:
        event = json.loads(message)
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
