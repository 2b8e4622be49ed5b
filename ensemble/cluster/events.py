"""What a pool of workers tells the driver, and what the driver asks of it, of its ledger and of the
place where pictures go."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from .blame import Record
from .dispatch import Able, Waiting
from .job import State
from .ledger import Task


@dataclass(frozen=True)
class Ready:
    """A worker is up, for the first time or again. `boot`: seconds that its ComfyUI took."""

    worker: str
    able: Able
    host: str
    boot: float


@dataclass(frozen=True)
class Answer:
    """A worker has tried a job; see Worker.render. Where `reboot` is set it is starting again."""

    worker: str
    key: str
    answer: dict[str, Any]


@dataclass(frozen=True)
class Lost:
    """A worker ended, or hung and was ended, under a job. It is being started again."""

    worker: str
    key: str
    error: str


@dataclass(frozen=True)
class NotUp:
    """A worker could not be started; nothing more happens to it unless it is booted again."""

    worker: str
    error: str


Event = Ready | Answer | Lost | NotUp


class StoppedError(RuntimeError):
    """The run cannot go on; jobs that wait, wait in the ledger."""


class PoolLostError(RuntimeError):
    """The machinery under the workers is gone; nothing can be sent or heard any more."""


class Pool(Protocol):
    def workers(self) -> frozenset[str]:
        """All that were asked for, up or not."""
        ...

    def send(self, worker: str, key: str, task: dict[str, Any]) -> None: ...

    def cancel(self, worker: str, prompt_id: str) -> None: ...

    def held(self) -> dict[str, str]:
        """Workers that an earlier driver left, and the prompt_id that each runs or has the answer of."""
        ...

    def boot(self, worker: str) -> None:
        """Start it once more, after NotUp."""
        ...

    def set_aside(self, worker: str) -> None:
        """Give its GPU back; it does nothing more in this run."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """What happened, waiting so many seconds for something. Raises PoolLostError."""
        ...


class Journal(Protocol):
    """ledger.Ledger, as far as a run goes."""

    def waiting(self, limit: int | None = None) -> Iterator[Waiting]: ...

    def begin(self, key: str, worker: str) -> Task: ...

    def finish(self, key: str, seconds: float, now: float) -> None: ...

    def fail(self, key: str, fault: str, error: str, record: Record, now: float) -> None: ...

    def put_back(self, key: str, fault: str, error: str, record: Record) -> None: ...

    def counts(self) -> Mapping[State, int]: ...


class Shelf(Protocol):
    """results.Results, as far as a run goes."""

    out: Path

    def publish(
        self, key: str, stem: str, files: Sequence[tuple[str, bytes]], record: dict[str, Any]
    ) -> list[str]: ...
