"""A ComfyUI that renders nothing: its routes, its websocket, and what goes wrong in it, on demand.

A graph's `Stub` node says what happens: `seconds` of sleep, and `does`: fail, oom, die, hang, mute. The
kinds of `once` happen only while the file that they name is not there.
"""

import argparse
import base64
import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
for folder in ("output", "temp", "user", "input"):
    parser.add_argument(f"--{folder}-directory")
parser.add_argument("--boot", type=float, default=0.0)
parser.add_argument("--no-boot", action="store_true")
parser.add_argument("--memory", type=int, default=8)
options, _ = parser.parse_known_args()

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FILES = {"checkpoints": ["a.safetensors", "b.safetensors"], "loras": ["ann.safetensors"]}
history: dict[str, dict] = {}
queue: list[tuple[str, dict]] = []
wake = threading.Condition()
cancelled: set[str] = set()
sockets: list = []


class StubError(Exception):
    def __init__(self, kind: str, words: str) -> None:
        self.kind = kind
        super().__init__(words)


def send(kind: str, data: dict) -> None:
    payload = json.dumps({"type": kind, "data": data}).encode()
    head = bytes((0x81, len(payload))) if len(payload) < 126 else b""
    head = head or bytes((0x81, 126)) + len(payload).to_bytes(2, "big")
    for each in list(sockets):
        try:
            each.sendall(head + payload)
        except OSError:
            sockets.remove(each)


def work() -> None:
    while True:
        with wake:
            while not queue:
                wake.wait()
            prompt_id, graph = queue.pop(0)
        status, messages, outputs = "success", [], {}
        try:
            outputs = run(prompt_id, graph)
        except StubError as failure:
            status = "error"
            error = {"node_type": "Stub", "exception_message": str(failure), "node_id": "stub"}
            error["exception_type"] = failure.kind
            messages = [["execution_error", error]]
        except InterruptedError:
            status, messages = "error", [["execution_interrupted", {}]]
        entry = {"status": {"status_str": status, "messages": messages}, "outputs": outputs}
        history[prompt_id] = entry
        send("executing", {"node": None, "prompt_id": prompt_id})


def run(prompt_id: str, graph: dict) -> dict:
    send("executing", {"node": "stub", "prompt_id": prompt_id})
    stub = graph.get("stub", {"inputs": {}})["inputs"]
    does = stub.get("does", "")
    once = stub.get("once")
    if once and Path(once).exists():
        does = ""
    elif once:
        Path(once).write_text("")
    if does == "die":
        os._exit(7)
    if does == "fail":
        raise StubError("ValueError", "the node raises")
    if does == "oom" and options.memory < stub.get("needs", 10**6):
        raise StubError("torch.OutOfMemoryError", "out of memory")
    end = time.monotonic() + (10**6 if does in ("hang", "mute") else stub.get("seconds", 0.0))
    while time.monotonic() < end:
        if prompt_id in cancelled:
            raise InterruptedError
        time.sleep(min(0.01, max(end - time.monotonic(), 0)))
        if does == "hang":
            send("progress", {"node": "s", "value": 1, "max": 2, "prompt_id": prompt_id})
    record = {"filename": "", "subfolder": "", "type": "output"}
    prefix = Path(graph["save"]["inputs"]["filename_prefix"])
    folder = Path(options.output_directory) / prefix.parent
    folder.mkdir(parents=True, exist_ok=True)
    record |= {"filename": f"{prefix.name}_00001_.png", "subfolder": prefix.parent.as_posix()}
    (folder / record["filename"]).write_bytes(PNG + json.dumps(graph).encode())
    return {"save": {"images": [record]}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Answers are headers and a body in two packets; Nagle's wait of 40 ms would be measured.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, value: object, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path, *rest = self.path.split("?")[0].strip("/").split("/")
        if path == "ws":
            return self.websocket()
        if path == "models":
            return self.reply(FILES[rest[0]] if rest else list(FILES))
        if path == "object_info":
            return self.reply({"Stub": {}, "SaveImage": {}})
        if path == "history":
            found = history.get(rest[0])
            return self.reply({rest[0]: found} if found else {})
        if path == "api":
            known = rest[1] in history or any(rest[1] == each for each, _ in queue)
            return self.reply({}, 200 if known else 404)
        self.reply({"devices": [{"vram_total": options.memory}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/prompt":
            return self.prompt(body)
        if self.path.endswith("/cancel"):
            cancelled.add(self.path.split("/")[-2])
        if self.path.endswith("/compile"):
            return self.compile(body)
        self.reply({})

    def prompt(self, body: dict) -> None:
        bad = [n for n, each in body["prompt"].items() if each["class_type"] == "NoSuchNode"]
        if bad:
            words = {"message": "Cannot execute because node NoSuchNode does not exist."}
            return self.reply({"error": words, "node_errors": {}}, 400)
        with wake:
            queue.append((body["prompt_id"], body["prompt"]))
            wake.notify()
        self.reply({"prompt_id": body["prompt_id"]})

    def compile(self, body: dict) -> None:
        if "unknown person" in body["text"]:
            missing = [{"setting": "prompt", "kind": "loras", "name": "x", "hint": "no file x"}]
            return self.reply({"missing": missing}, 422)
        graph = {
            "stub": {"class_type": "Stub", "inputs": {"text": body["text"], "seed": body["seed"]}},
            "save": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ensemble"}},
        }
        answer = {"graph": graph, "uploads": {}, "warnings": [], "report": {"seed": body["seed"]}}
        self.reply(answer)

    def websocket(self) -> None:
        magic = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        digest = hashlib.sha1(magic.encode(), usedforsecurity=False).digest()
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.end_headers()
        self.wfile.flush()
        sockets.append(self.connection)
        self.rfile.read()


if options.no_boot:
    print("no module named nothing")
    sys.exit(3)
time.sleep(options.boot)
threading.Thread(target=work, daemon=True).start()
ThreadingHTTPServer.request_queue_size = 64
ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
