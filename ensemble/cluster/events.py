"""What a pool of workers tells the driver, and what the driver may ask of it."""

from dataclasses import dataclass
from typing import Any, Protocol

from .dispatch import Able


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


class PoolLostError(RuntimeError):
    """The machinery under the workers is gone; nothing can be sent or heard any more."""


class Pool(Protocol):
    def workers(self) -> frozenset[str]:
        """All that were asked for, up or not."""
        ...

    def send(self, worker: str, key: str, task: dict[str, Any]) -> None: ...

    def cancel(self, worker: str, prompt_id: str) -> None: ...

    def boot(self, worker: str) -> None:
        """Start it once more, after NotUp."""
        ...

    def set_aside(self, worker: str) -> None:
        """Give its GPU back; it does nothing more in this run."""
        ...

    def events(self, timeout: float) -> list[Event]:
        """What happened, waiting so many seconds for something. Raises PoolLostError."""
        ...
