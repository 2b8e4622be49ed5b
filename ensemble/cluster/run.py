"""The driver's loop: jobs to whoever is free, answers into the folder and the ledger."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from .blame import Fault, Next, WorkerRecord, after
from .dispatch import Dispatcher, Waiting
from .events import Answer, Event, Journal, Lost, NotUp, Pool, Ready, Shelf, StoppedError
from .inputs import Pictures
from .keys import prompt_id, seed_of
from .ledger import Task
from .publishing import Publisher
from .telling import missing_hint, remaining, standing

_TICK = 1.0
_LASTING_TICK = 0.1  # how soon a job that comes in is seen
_TELL = 10.0  # seconds between progress lines


@dataclass
class _Running:
    job: Waiting
    task: Task
    sent: float


@dataclass
class Tally:
    """What one run came to. `overheads` are seconds a job beyond what its worker spent on it."""

    done: int = 0
    failed: int = 0
    deaths: int = 0
    overheads: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))


class Farm:
    """One run over a ledger and a pool. `stop` may be called from anywhere."""

    def __init__(
        self,
        *,
        ledger: Journal,
        results: Shelf,
        pool: Pool,
        pictures: Pictures,
        say: Callable[[str], None],
        limit: int | None = None,
        often: Callable[[bool], None] | None = None,
        lasting: bool = False,
    ) -> None:
        """`say` gets a line for a person; `often` is called at each progress line, with True. `lasting`:
        it waits for more jobs (`add`) until `stop`."""
        self._ledger, self._publisher, self._pool = ledger, Publisher(results), pool
        self._pictures, self._say, self._often = pictures, say, often
        self._queue = Dispatcher()
        for job in ledger.waiting(limit):
            self._queue.add(job)
        self._lasting = lasting
        self._inbox: SimpleQueue[Waiting] = SimpleQueue()
        self._held = pool.held() if lasting else {}
        self._kept: dict[str, Waiting] = {}
        self._idle: set[str] = set()
        self._running: dict[str, _Running] = {}
        self._records: dict[str, WorkerRecord] = {}
        self._aside: set[str] = set()
        self._told: set[str] = set()
        self._hosts: dict[str, str] = {}
        self._left = threading.Event()
        self._stop = threading.Event()
        self._cancel = threading.Event()
        self._began = self._spoke = time.monotonic()
        self.tally = Tally()

    @property
    def reloads(self) -> int:
        return self._queue.reloads

    def add(self, job: Waiting) -> None:
        """One more; from any thread."""
        self._inbox.put(job)

    def stop(self) -> None:
        """Hand out nothing more; asked again, cancel what runs."""
        (self._cancel if self._stop.is_set() else self._stop).set()

    def leave(self) -> None:
        """Return from `run` at once; what runs is nobody's business any more."""
        self._left.set()

    def run(self) -> None:
        """Until every job has an outcome, or `stop`. Raises StoppedError and PoolLostError."""
        told = False
        while True:
            if self._left.is_set():
                return
            self._admit()
            if not self._stop.is_set():
                self._assign()
            for key, seconds in self._publisher.write():
                self._ledger.finish(key, seconds, time.time())
                self.tally.done += 1
            if not self._running and (
                self._stop.is_set() or not (self._lasting or self._queue.waiting)
            ):
                return
            if self._cancel.is_set() and not told:
                told = True
                for worker, each in self._running.items():
                    self._pool.cancel(worker, prompt_id(each.job.key, each.task.attempt))
            for event in self._pool.events(_LASTING_TICK if self._lasting else _TICK):
                self._take(event)
            self._check_hands()
            if not self._lasting:
                self._tell()

    def _admit(self) -> None:
        """New jobs into the queue; one that a worker has from an earlier driver waits for that worker,
        whose answer it keeps."""
        while not self._inbox.empty():
            job = self._inbox.get()
            first = prompt_id(job.key, 1)
            worker = next((w for w, held in self._held.items() if held == first), None)
            if worker is None or worker in self._aside or worker in self._told:
                self._queue.add(job)
            else:
                self._kept[worker] = job

    def _assign(self) -> None:
        now = time.monotonic()
        for worker in sorted(self._idle):
            job = self._queue.next_for(worker, now)
            if job is not None:
                self._send(worker, job)

    def _send(self, worker: str, job: Waiting) -> None:
        task = self._ledger.begin(job.key, self._hosts.get(worker, worker))
        self._idle.discard(worker)
        self._running[worker] = _Running(job, task, time.monotonic())
        self._pool.send(worker, job.key, self._wire(task))

    def _wire(self, task: Task) -> dict[str, Any]:
        return {
            "prompt_id": prompt_id(task.key, task.attempt),
            "prefix": f"farm/{task.key}",
            "kind": task.kind.value,
            "spec": task.spec,
            "seed": seed_of(task.key),
            "pictures": self._pictures.read(task.pictures),
        }

    def _take(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._ready(event)
        elif isinstance(event, NotUp):
            self._not_up(event)
        elif isinstance(event, Lost):
            self._lost(event.worker, event.key, Fault.DIED, event.error)
        else:
            self._answered(event)

    def _ready(self, event: Ready) -> None:
        self._told.add(event.worker)
        self._hosts[event.worker] = f"{event.worker} on {event.host}"
        self._queue.arrive(event.worker, event.able)
        self._idle.add(event.worker)
        self._queue.complete = self._pool.workers() <= self._told | self._aside
        kept = self._kept.pop(event.worker, None)
        if kept is not None:
            self._send(event.worker, self._queue.give(event.worker, kept, time.monotonic()))
        self._say(f"{self._hosts[event.worker]} is up (ComfyUI in {event.boot:.1f} s)")

    def _not_up(self, event: NotUp) -> None:
        self._queue.leave(event.worker)
        if self._record(event.worker).failed_to_boot():
            self._set_aside(event.worker, f"its ComfyUI does not start: {event.error}")
        else:
            self._say(f"{event.worker}: {event.error}; trying again")
            self._pool.boot(event.worker)

    def _answered(self, event: Answer) -> None:
        running = self._running.get(event.worker)
        if running is None or running.job.key != event.key:
            return
        answer = event.answer
        overhead = time.monotonic() - running.sent - answer["inside"]
        if "fault" in answer:
            fault = Fault(answer["fault"])
            if answer.get("reboot"):
                self._lost(event.worker, event.key, fault, answer["error"])
            else:
                self._free(event.worker)
                self._settle(running, fault, answer["error"])
            return
        self._free(event.worker)
        self._publisher.add(running.task, answer, self._hosts[event.worker])
        self.tally.overheads.append(overhead)
        self._queue.measured(running.job.needs.work, answer["inside"])

    def _free(self, worker: str) -> None:
        del self._running[worker]
        self._record(worker).served()
        self._idle.add(worker)

    def _lost(self, worker: str, key: str, fault: Fault, error: str) -> None:
        """The worker is starting again, and its job is without one."""
        running = self._running.get(worker)
        if running is None or running.job.key != key:
            return
        del self._running[worker]
        self._queue.leave(worker)
        self.tally.deaths += 1
        self._say(
            f"{self._hosts.get(worker, worker)} was lost under line {running.task.line}: {error}"
        )
        if self._record(worker).died_with(key, fault):
            self._set_aside(worker, "it ended under three different jobs in a row")
        self._settle(running, fault, error, worker)

    def _settle(self, running: _Running, fault: Fault, error: str, worker: str = "") -> None:
        """What becomes of a job whose try gave no picture."""
        job = running.job
        record, then = after(job.record, fault)
        if then is Next.FAIL:
            if fault in (Fault.DIED, Fault.STALLED):
                error = f"{record.deaths} workers ended under it, the last one: {error}"
            error += missing_hint(self._queue, job.needs.files)
            self._ledger.fail(job.key, fault.value, error, record, time.time())
            self.tally.failed += 1
            self._say(
                f"line {running.task.line} {running.task.name} failed: {error}".replace("\n", "; ")
            )
            return
        self._ledger.put_back(job.key, fault.value, error, record)
        again = Waiting(job.key, job.needs, record, worker, then is Next.LARGEST)
        if then is Next.WAITING:
            self._queue.add(again)
        else:
            self._queue.add_front(again)

    def _record(self, worker: str) -> WorkerRecord:
        return self._records.setdefault(worker, WorkerRecord())

    def _set_aside(self, worker: str, why: str) -> None:
        self._aside.add(worker)
        self._idle.discard(worker)
        self._queue.leave(worker)
        self._pool.set_aside(worker)
        kept = self._kept.pop(worker, None)
        if kept is not None:
            self._queue.add(kept)
        self._queue.complete = self._pool.workers() <= self._told | self._aside
        self._say(f"{self._hosts.get(worker, worker)} is set aside: {why}")

    def _check_hands(self) -> None:
        if self._pool.workers() <= self._aside and self._queue.waiting:
            raise StoppedError("every worker has been set aside; see the lines above")

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._spoke < _TELL:
            return
        self._spoke = now
        self._say(self.progress())
        if self._often is not None:
            self._often(True)

    def progress(self) -> str:
        """One line: done, failed, left, pace, time left, workers, reloads."""
        up = len(self._idle) + len(self._running)
        running = sum(each.job.needs.work for each in self._running.values())
        parts = [standing(self._ledger.counts())]
        if self.tally.done:
            minutes = (time.monotonic() - self._began) / 60
            parts.append(f"{self.tally.done / minutes:.1f} jobs a minute")
            parts.append(f"about {remaining(self._queue, running, up)} left")
        parts.append(f"{up} of {len(self._pool.workers())} workers up, {self.reloads} loads")
        return "; ".join(parts)
