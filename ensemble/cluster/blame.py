"""Whose fault it was, and what follows: for a job, and for the worker that had it. Pure decisions."""

from dataclasses import dataclass
from enum import Enum

MOST_DEATHS = 3  # of workers under one job, and of one worker in a row


class Fault(Enum):
    """How a try ended without a picture.

    `refused` and `failed` are the job's (ComfyUI said no, a node raised), `memory` the GPU's size,
    `died` the end of its ComfyUI or of its worker, `stalled` no progress within the limit, `cancelled`
    the user's wish, `absent` that its ComfyUI had ended before the job came.
    """

    REFUSED = "refused"
    FAILED = "failed"
    MEMORY = "memory"
    DIED = "died"
    STALLED = "stalled"
    CANCELLED = "cancelled"
    ABSENT = "absent"


class Next(Enum):
    """`again`: at the front of the queue, another worker first. `largest`: once more, on the GPU with
    most memory. `waiting`: as if it had not been tried."""

    FAIL = "fail"
    AGAIN = "again"
    LARGEST = "largest"
    WAITING = "waiting"


@dataclass(frozen=True)
class Record:
    """What a job has been through, with this try. `deaths` are workers that ended or hung under it."""

    deaths: int = 0
    out_of_memory: int = 0


def after(record: Record, fault: Fault) -> tuple[Record, Next]:
    """A bad graph is tried once, a job that kills its worker three times, one that does not fit twice."""
    if fault in (Fault.REFUSED, Fault.FAILED):
        return record, Next.FAIL
    if fault in (Fault.CANCELLED, Fault.ABSENT):
        return record, Next.WAITING
    if fault is Fault.MEMORY:
        record = Record(record.deaths, record.out_of_memory + 1)
        return record, Next.FAIL if record.out_of_memory > 1 else Next.LARGEST
    record = Record(record.deaths + 1, record.out_of_memory)
    return record, Next.FAIL if record.deaths >= MOST_DEATHS else Next.AGAIN


class WorkerRecord:
    """Deaths of one worker in a row. Three with different jobs, or three boots that failed, and it is
    set aside, so that a broken machine fails no good jobs."""

    def __init__(self) -> None:
        self._jobs: list[str] = []
        self._boots = 0

    def served(self) -> None:
        """It gave an answer: it works."""
        self._jobs.clear()
        self._boots = 0

    def died_with(self, key: str, fault: Fault = Fault.DIED) -> bool:
        """Whether that was once too often. The same job twice is the job's doing, if it had come."""
        if fault is Fault.ABSENT:
            key = f"before {key} {len(self._jobs)}"
        if key not in self._jobs:
            self._jobs.append(key)
        return len(self._jobs) >= MOST_DEATHS

    def failed_to_boot(self) -> bool:
        self._boots += 1
        return self._boots >= MOST_DEATHS
