"""What a ComfyUI tells of its run over `/ws`: where it is, and when it last said anything."""

import contextlib
import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from .websocket import WebSocketReader

_CONNECT = 10.0  # seconds


@dataclass(frozen=True)
class Progress:
    """`value` of `most` steps of a node of the run `prompt_id`; `quiet`: seconds without a word."""

    prompt_id: str
    node: str
    value: int
    most: int
    quiet: float


class Follower:
    """One thread a ComfyUI, as long as that lives; a connection that breaks is opened again."""

    def __init__(self, url: str) -> None:
        self._address = url.replace("http", "ws", 1) + "/ws?clientId=farm"
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._reader: WebSocketReader | None = None
        self._ended = threading.Event()
        self._prompt, self._node, self._value, self._most = "", "", 0, 0
        self._heard = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()

    def follow(self, prompt_id: str) -> None:
        """From now on this run counts."""
        with self._lock:
            self._prompt, self._node, self._value, self._most = prompt_id, "", 0, 0
            self._heard = time.monotonic()
            self._ended.clear()

    def wait(self, seconds: float) -> bool:
        """Until the run has ended as far as was heard, or so many seconds."""
        return self._ended.wait(seconds)

    def progress(self) -> Progress:
        with self._lock:
            quiet = time.monotonic() - self._heard
            return Progress(self._prompt, self._node, self._value, self._most, quiet)

    def close(self) -> None:
        self._closed.set()
        if self._reader is not None:
            self._reader.close()

    def _listen(self) -> None:
        while not self._closed.is_set():
            # ConnectionError, a frame cut short, a socket closed by `close`: all mean "once more".
            with contextlib.suppress(OSError, ValueError):
                self._reader = WebSocketReader(self._address, _CONNECT)
                self._reader.settimeout(None)
                for message in self._reader.messages():
                    self._note(json.loads(message))
            self._closed.wait(0.5)

    def _note(self, event: dict[str, Any]) -> None:
        data = event.get("data") or {}
        with self._lock:
            if data.get("prompt_id") != self._prompt:
                return
            self._heard = time.monotonic()
            if event["type"] == "progress":
                self._node, self._value, self._most = data["node"], data["value"], data["max"]
            elif event["type"] == "executing":
                self._node = data["node"] or ""
                if data["node"] is None:  # sent once the history has the outcome
                    self._ended.set()
