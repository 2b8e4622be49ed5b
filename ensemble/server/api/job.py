"""A job of the API: one row of the store."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class State(Enum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class WebhookState(Enum):
    """How the webhook call of a job stands."""

    NONE = ""
    WAITING = "waiting"
    DUE = "due"
    SENT = "sent"
    GIVEN_UP = "given up"


@dataclass(frozen=True)
class Job:
    """A row of the store. Times are seconds since 1970."""

    # What clients know it by.
    id: int
    # ComfyUI's name of it, and of its pictures.
    prompt_id: str
    # The call, or the service, it came by: jobs of one kind take similar times.
    kind: str
    graph: dict[str, Any]
    pictures: int
    # Its size in sampled pixels.
    work: float
    prefix: str
    # What the routes need to answer for it.
    answer: dict[str, Any]
    created: float
    # Hash of what was asked.
    request: str = ""
    # The client's own id for it.
    idempotency_key: str | None = None
    temporary: bool = False
    webhook: str | None = None
    state: State = State.WAITING
    # ComfyUI's picture records.
    outputs: tuple[dict[str, str], ...] = ()
    error: str = ""
    finished: float | None = None
    # How long it ran.
    seconds: float | None = None
    # How often ComfyUI ended while it ran.
    crashes: int = 0
    hook: WebhookState = WebhookState.NONE
    hook_tries: int = 0
    # The order in which jobs were accepted.
    number: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: with pictures, or with an error."""

    outputs: tuple[dict[str, str], ...] = ()
    error: str = ""
    seconds: float | None = None
