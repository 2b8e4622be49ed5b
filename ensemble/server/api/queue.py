"""ComfyUI's own queue: graphs checked and queued as `POST /prompt` does it, and watched."""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .job import Outcome

if TYPE_CHECKING:
    from server import PromptServer

Graph = dict[str, dict[str, Any]]
SAVE = "save"  # the node of a compiled recipe that writes its pictures


class GraphError(ValueError):
    """ComfyUI does not take the graph."""


@dataclass(frozen=True)
class QueueSnapshot:
    """Which jobs ran, waited or had ended at one moment; any other was removed by somebody."""

    running: frozenset[str]
    queued: frozenset[str]
    ended: dict[str, Outcome]


class ComfyQueue:
    runs_here = True  # a job that runs while this process ends may be what ended it

    def __init__(self, server: "PromptServer") -> None:
        self._server = server

    async def check(self, prompt_id: str, graph: Graph) -> tuple[Graph, list[str]]:
        """The graph as other extensions changed it, and its output nodes. Raises GraphError."""
        import execution

        asked = self._server.trigger_on_prompt({"prompt": graph, "prompt_id": prompt_id})
        graph = asked["prompt"]
        self._server.node_replace_manager.apply_replacements(graph)
        valid, error, outputs, node_errors = await execution.validate_prompt(prompt_id, graph, None)
        if not valid:
            raise GraphError(_reasons(error, node_errors))
        return graph, outputs

    def put(self, prompt_id: str, graph: Graph, outputs: list[str]) -> None:
        number = self._server.number
        self._server.number += 1
        extra = {"create_time": int(time.time() * 1000)}
        self._server.prompt_queue.put((number, prompt_id, graph, extra, outputs, {}))

    def snapshot(self, wanted: Collection[str]) -> QueueSnapshot:
        """Where these jobs are. Jobs move from queue to running to history under the same lock, so
        none is between two places."""
        queue = self._server.prompt_queue
        with queue.mutex:
            running, queued = queue.get_current_queue_volatile()
            history = queue.history
            ended = {name: history[name] for name in wanted if name in history}
        return QueueSnapshot(
            frozenset(item[1] for item in running),
            frozenset(item[1] for item in queued),
            {name: read_history(entry) for name, entry in ended.items()},
        )

    def length(self) -> int:
        """How many jobs run or wait, those of others included."""
        return self._server.prompt_queue.get_tasks_remaining()


def read_history(entry: dict[str, Any]) -> Outcome:
    """What an entry of ComfyUI's history says: pictures or an error, and the seconds between."""
    status = entry["status"] or {}
    events = dict(status.get("messages", ()))
    times = [data["timestamp"] for data in events.values() if "timestamp" in data]
    seconds = (max(times) - min(times)) / 1000 if times else None
    if status.get("status_str") != "success":
        return Outcome(error=_failure(events), seconds=seconds)
    pictures = entry["outputs"].get(SAVE, {}).get("images", ())
    if not pictures:
        return Outcome(error="the graph ran and saved no picture", seconds=seconds)
    return Outcome(outputs=tuple(pictures), seconds=seconds)


def _failure(events: dict[str, dict[str, Any]]) -> str:
    if "execution_interrupted" in events:
        return "it was interrupted"
    error = events.get("execution_error")
    if error is None:
        return "ComfyUI gives no reason"
    return f"{error['node_type']}: {error['exception_message'].strip()}"[:1000]


def _reasons(error: dict[str, Any], node_errors: dict[str, Any]) -> str:
    lines = [error["message"]]
    for node in node_errors.values():
        lines += [f"{node['class_type']}: {e['message']}: {e['details']}" for e in node["errors"]]
    return "; ".join(lines)[:1000]
