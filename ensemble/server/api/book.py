"""What a farm needs of its ledger and its results, for jobs whose durable record is the API's journal."""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...cluster.blame import Record
from ...cluster.dispatch import Waiting
from ...cluster.job import Kind, Needs, State
from ...cluster.ledger import Task
from ...cluster.needs import graph_needs
from ...cluster.results import write_all
from .job import Outcome
from .queue import SAVE, Graph, QueueSnapshot


@dataclass
class _Entry:
    graph: Graph
    prefix: str
    needs: Needs
    record: Record = field(default_factory=Record)
    attempts: int = 0
    running: bool = False


class Book:
    """Jobs by their prompt_id, of any thread. Pictures go where the graph's own prefix says, below
    `output`, under the names that SaveImage would give them."""

    def __init__(self, output: Path) -> None:
        self.out = output
        self._lock = threading.Lock()
        self._jobs: dict[str, _Entry] = {}
        self._saved: dict[str, tuple[dict[str, str], ...]] = {}
        self._ended: dict[str, Outcome] = {}

    def add(self, prompt_id: str, graph: Graph) -> Waiting:
        needs = graph_needs(graph)
        prefix = graph[SAVE]["inputs"]["filename_prefix"]
        with self._lock:
            self._jobs[prompt_id] = _Entry(graph, prefix, needs)
        return Waiting(prompt_id, needs)

    def again(self) -> list[Waiting]:
        """All without an outcome, for a new farm."""
        with self._lock:
            for each in self._jobs.values():
                # Under its first number a worker may have it still.
                each.running, each.attempts = False, 0
            return [Waiting(name, each.needs, each.record) for name, each in self._jobs.items()]

    def left(self) -> int:
        with self._lock:
            return len(self._jobs)

    def snapshot(self, wanted: Collection[str]) -> QueueSnapshot:
        with self._lock:
            self._ended = {name: self._ended[name] for name in wanted if name in self._ended}
            running = frozenset(name for name, each in self._jobs.items() if each.running)
            return QueueSnapshot(running, frozenset(self._jobs) - running, dict(self._ended))

    # From here on as cluster.results.Results and cluster.ledger.Ledger; a farm's own thread calls it.

    def publish(
        self, key: str, stem: str, files: Sequence[tuple[str, bytes]], record: dict[str, Any]
    ) -> list[str]:
        """Raises OSError, and then the job counts as not done."""
        with self._lock:
            base = self.out / self._jobs[key].prefix
        base.parent.mkdir(parents=True, exist_ok=True)
        paths = [base.with_name(f"{base.name}_{n:05}_.png") for n, _ in enumerate(files, 1)]
        write_all([(path, data) for path, (_, data) in zip(paths, files, strict=True)])
        folder = base.parent.relative_to(self.out).as_posix()
        saved = [{"filename": p.name, "subfolder": folder, "type": "output"} for p in paths]
        with self._lock:
            self._saved[key] = tuple(saved)
        return [path.name for path in paths]

    def waiting(self, limit: int | None = None) -> Iterator[Waiting]:
        """None: the farm is given them one by one."""
        return iter(())

    def begin(self, key: str, worker: str) -> Task:
        with self._lock:
            entry = self._jobs[key]
            entry.attempts += 1
            entry.running = True
            spec = {"graph": entry.graph}
            return Task(key, 0, key, Kind.GRAPH, spec, entry.needs.pictures, entry.attempts)

    def finish(self, key: str, seconds: float, now: float) -> None:
        self._end(key, Outcome(outputs=self._saved.pop(key), seconds=seconds))

    def fail(self, key: str, fault: str, error: str, record: Record, now: float) -> None:
        self._end(key, Outcome(error=error[:1000]))

    def put_back(self, key: str, fault: str, error: str, record: Record) -> None:
        with self._lock:
            self._jobs[key].record, self._jobs[key].running = record, False

    def counts(self) -> dict[State, int]:
        with self._lock:
            running = sum(each.running for each in self._jobs.values())
            return dict.fromkeys(State, 0) | {
                State.WAITING: len(self._jobs) - running, State.RUNNING: running,
            }  # fmt: skip

    def _end(self, key: str, outcome: Outcome) -> None:
        with self._lock:
            del self._jobs[key]
            self._ended[key] = outcome
