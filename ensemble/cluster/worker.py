"""One GPU with its ComfyUI: boots it, runs one job at a time in it, and says how that went.

This is what a Ray actor is made of, and it knows no Ray. It gets and gives plain dicts and bytes, so
that the two sides of the wire need not share a class. Standard library alone (see comfy.py).
"""

import base64
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .comfy import Child, ChildError, HttpError, get_json, post_json, refusal_text, sees_gpu
from .follow import Follower
from .meter import meter_lines, with_meter

# What a machine says of itself, in the environment that `farm worker` gives it; else the driver's.
PYTHON, COMFYUI, ARGUMENTS = "ENSEMBLE_FARM_PYTHON", "ENSEMBLE_FARM_COMFYUI", "ENSEMBLE_FARM_ARGS"
STALL = 600.0  # seconds without a word from a running graph
_LOOK = 1.0  # seconds between looks at the history, where the websocket says nothing
_ANSWER = 60.0  # seconds for an answer of ComfyUI's own routes
_FOLDERS = ("output", "temp", "user", "input")
COMPILE = "/ensemble/v1/recipes/compile"
_API = "ENSEMBLE_API"  # variables of the ComfyUI that takes jobs in, which a worker's does not


class _EndError(Exception):
    """A try without a picture. `fault` is a value of blame.Fault."""

    def __init__(self, fault: str, error: str) -> None:
        self.fault = fault
        super().__init__(error)


class Worker:
    """`ready` before the first `render`, and again after each answer that has `reboot`."""

    def __init__(self, setup: dict[str, Any]) -> None:
        """`setup`: python, comfyui and arguments of the driver's machine, stall in seconds."""
        here = os.environ
        self._python = here.get(PYTHON) or setup["python"]
        self._comfyui = here.get(COMFYUI) or setup["comfyui"]
        self._arguments = json.loads(here.get(ARGUMENTS) or "null") or list(setup["arguments"])
        self._stall = float(setup.get("stall", STALL))
        self._folder = Path(tempfile.mkdtemp(prefix="ensemble-farm-"))
        self._child: Child | None = None
        self._follower: Follower | None = None
        self._boot = 0.0
        self._kept: tuple[str, dict[str, Any]] = ("", {})
        if sys.platform == "linux":
            parent = (os.getppid(),)
            threading.Thread(target=self._end_with_parent, args=parent, daemon=True).start()

    def ready(self) -> dict[str, Any]:
        """Boots ComfyUI where none runs; what this worker has. Raises ChildError."""
        if self._child is None or self._child.ended() is not None:
            self._start()
        child = self._alive()
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "child": child.pid,
            "url": child.url,
            "boot": round(self._boot, 2),
            "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
            "memory": child.memory(),
            "files": child.model_files(),
        }

    def render(self, task: dict[str, Any]) -> dict[str, Any]:
        """`task`: prompt_id, prefix, kind, spec, seed, pictures (name -> bytes). The answer has `files`
        as (name, bytes) and a `report`, or a `fault` with its `error`; `reboot` where ComfyUI is gone.
        """
        began = time.monotonic()
        answer: dict[str, Any]
        # A driver that died while this ran asks for it again when it is back.
        if self._kept[0] == task["prompt_id"]:
            return self._kept[1]
        try:
            answer = self._render(task)
        except _EndError as end:
            answer = {"fault": end.fault, "error": str(end)}
        # What is no known end of a run is the worker's: the driver tries the job elsewhere.
        except (OSError, ValueError, KeyError, TypeError, HttpError) as error:
            answer = {"fault": "died", "error": f"{type(error).__name__}: {error}"}
        if answer.get("fault") in ("died", "stalled", "absent"):
            answer["error"] += self._why()
            self.stop_child()
            answer["reboot"] = True
        answer |= {"inside": time.monotonic() - began, "host": socket.gethostname()}
        again = answer.get("reboot") or answer.get("fault") == "cancelled"
        self._kept = ("", {}) if again else (task["prompt_id"], answer)
        return answer

    def cancel(self, prompt_id: str) -> None:
        """End a run, now; of one that is not running nothing happens."""
        if self._child is not None and self._child.ended() is None:
            post_json(f"{self._child.url}/api/jobs/{prompt_id}/cancel", {}, timeout=10)

    def progress(self) -> dict[str, Any]:
        """Where the run is; also the sign of life that the driver asks for."""
        if self._follower is None:
            return {"prompt_id": "", "node": "", "value": 0, "most": 0, "quiet": 0.0}
        return vars(self._follower.progress()).copy()

    def stop(self) -> None:
        self.stop_child(grace=10.0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop_child(self, grace: float = 0.0) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        if self._child is not None:
            self._child.stop(grace)
            self._child = None

    def _start(self) -> None:
        self.stop_child()
        for name in _FOLDERS:
            (self._folder / name).mkdir(exist_ok=True)
        self._take_over_settings()
        folders = [part for n in _FOLDERS for part in (f"--{n}-directory", str(self._folder / n))]
        gpu = [] if "--cpu" in self._arguments or sees_gpu(self._python) else ["--cpu"]
        child = Child(
            python=self._python,
            comfyui=self._comfyui,
            arguments=[*folders, *self._arguments, *gpu],
            folder=self._folder,
            environment={n: v for n, v in os.environ.items() if not n.startswith(_API)},
            tied=True,
        )
        began = time.monotonic()
        try:
            child.start()
        except OSError as error:
            raise ChildError(f"ComfyUI cannot be started with {self._python}: {error}") from error
        self._child = child
        child.wait_until_up()
        self._boot = time.monotonic() - began
        self._follower = Follower(child.url)

    def _take_over_settings(self) -> None:
        """The user's aliases and casts: this ComfyUI has a user folder of its own."""
        base = Path(self._comfyui)
        if "--base-directory" in self._arguments:
            base = Path(self._arguments[self._arguments.index("--base-directory") + 1])
        source = base / "user" / "default" / "ensemble"
        if source.is_dir():
            target = self._folder / "user" / "default" / "ensemble"
            target.mkdir(parents=True, exist_ok=True)
            for path in source.glob("*.json"):
                shutil.copyfile(path, target / path.name)

    def _alive(self) -> Child:
        if self._child is None:
            raise _EndError("absent", "ComfyUI is not running")
        return self._child

    def _render(self, task: dict[str, Any]) -> dict[str, Any]:
        child = self._alive()
        if child.ended() is not None:
            raise _EndError("absent", f"ComfyUI had ended with code {child.ended()}")
        self.put_pictures(task["pictures"])
        graph, report = self._graph(child, task)
        for node in graph.values():
            if isinstance(node["inputs"].get("filename_prefix"), str):
                node["inputs"]["filename_prefix"] = task["prefix"]
        began = time.monotonic()
        entry = self._run(child, task["prompt_id"], graph)
        seconds = time.monotonic() - began
        files = self._collect(child, entry)
        if lines := meter_lines(graph, entry["outputs"], list(task["spec"].get("faces", ()))):
            report = {**report, "leak": lines}
        return {"files": files, "report": report, "seconds": seconds}

    def put_pictures(self, pictures: dict[str, bytes]) -> None:
        """Into its ComfyUI's input folder, by name."""
        for name, data in pictures.items():
            path = self._folder / "input" / name
            if not path.resolve().is_relative_to((self._folder / "input").resolve()):
                raise _EndError("refused", f"picture {name!r} lies outside the input folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _graph(self, child: Child, task: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        if task["kind"] == "graph":
            return task["spec"]["graph"], {}
        request = {"seed": task["seed"], **task["spec"]["request"]}
        try:
            compiled = post_json(child.url + COMPILE, request, self._stall)
        except HttpError as error:
            raise _EndError("refused", refusal_text(error.answer)[:2000]) from error
        self.put_pictures(
            {name: base64.b64decode(data) for name, data in compiled["uploads"].items()}
        )
        graph = with_meter(compiled["graph"], task["spec"].get("faces", {}))
        return graph, {"warnings": compiled["warnings"], **compiled["report"]}

    def _run(self, child: Child, prompt_id: str, graph: dict[str, Any]) -> dict[str, Any]:
        """The history's entry of the run."""
        follower = self._follower
        if follower is None:
            raise _EndError("died", "ComfyUI is not running")
        follower.follow(prompt_id)
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": "farm"}
        try:
            post_json(f"{child.url}/prompt", body, min(self._stall, _ANSWER))
        except HttpError as error:
            fault = "refused" if error.status == 400 else "died"
            raise _EndError(fault, refusal_text(error.answer)[:2000]) from error
        except OSError as error:
            # It may have been taken all the same; posted again it would run twice.
            # A process that is ending has closed its sockets some time before it is gone.
            deadline = time.monotonic() + 1.0
            while child.ended() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if child.ended() is None and not self._known(child, prompt_id):
                fault = "stalled" if isinstance(error, TimeoutError) else "died"
                raise _EndError(fault, f"POST /prompt: {error}") from error
        looked = time.monotonic()
        while True:
            heard = follower.wait(0.1)
            if (code := child.ended()) is not None:
                raise _EndError("died", f"ComfyUI ended with code {code}")
            if heard or time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                if (entry := self._history(child, prompt_id)) is not None:
                    return entry
            if (quiet := follower.progress().quiet) > self._stall:
                raise _EndError("stalled", f"ComfyUI said nothing for {quiet:.0f} s")

    def _known(self, child: Child, prompt_id: str) -> bool:
        try:
            get_json(f"{child.url}/api/jobs/{prompt_id}", 10)
        except (HttpError, OSError, ValueError):
            return False
        return True

    def _history(self, child: Child, prompt_id: str) -> dict[str, Any] | None:
        """None while it runs, and where ComfyUI does not answer: the limits of `_run` judge that."""
        try:
            return get_json(f"{child.url}/history/{prompt_id}", 10).get(prompt_id)
        except (HttpError, OSError, ValueError):
            return None

    def _collect(self, child: Child, entry: dict[str, Any]) -> list[tuple[str, bytes]]:
        """The saved files, taken out of the child's output folder."""
        status = entry.get("status") or {}
        if status.get("status_str") != "success":
            raise self._failure(child, dict(status.get("messages", ())))
        records = [
            each
            for output in entry["outputs"].values()
            for value in output.values()
            if isinstance(value, list)
            for each in value
            if isinstance(each, dict) and each.get("type") == "output" and "filename" in each
        ]
        if not records:
            raise _EndError("failed", "the graph ran and saved no picture")
        files = []
        for each in records:
            path = self._folder / "output" / each.get("subfolder", "") / each["filename"]
            files.append((each["filename"], path.read_bytes()))
            path.unlink()
        return files

    def _failure(self, child: Child, events: dict[str, Any]) -> _EndError:
        if "execution_interrupted" in events:
            return _EndError("cancelled", "it was interrupted")
        error = events.get("execution_error") or {}
        kind = error.get("exception_type", "")
        words = str(error.get("exception_message", "ComfyUI gives no reason")).strip()
        text = f"{error.get('node_type', 'ComfyUI')}: {words}"[:2000]
        if "OutOfMemory" in kind or (kind.endswith("AcceleratorError") and "memory" in text):
            post_json(f"{child.url}/free", {"unload_models": True, "free_memory": True}, _ANSWER)
            return _EndError("memory", text)
        return _EndError("failed", text)

    def _why(self) -> str:
        """The last line of ComfyUI's log, where it has ended."""
        if self._child is None or self._child.ended() is None:
            return ""
        return self._child.last_words()

    def _end_with_parent(self, parent: int) -> None:
        """A worker whose Ray is gone would keep its GPU."""
        while os.getppid() == parent:
            time.sleep(0.5)
        if self._child is not None:
            self._child.stop(grace=0)
        os._exit(1)
