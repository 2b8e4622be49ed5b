"""What the rooms of the cluster hand each other: a job, and what it needs of a worker."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """`recipe`: a request for `/ensemble/v1/recipes/compile`. `graph`: for `/prompt`."""

    RECIPE = "recipe"
    GRAPH = "graph"


class State(Enum):
    """`running` means that a driver sent it and has not heard yet."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Needs:
    """What decides which worker gets a job.

    `model` is its checkpoint and `loras` its adapters, as written: equal text, equal load. `files`
    are names that a worker must have; of a recipe none, its names are resolved where it runs.
    `pictures` are names of the input folder. `work` is sampled pixels: width x height x steps x
    batch.
    """

    model: str = ""
    loras: str = ""
    files: frozenset[str] = frozenset()
    pictures: tuple[str, ...] = ()
    work: float = 0.0


@dataclass(frozen=True)
class Job:
    """`line` is its place in the source from 1. `spec` is what the worker gets, JSON throughout. `cell`
    is its place on a contact sheet (sheet.py), where it is on one."""

    key: str
    line: int
    name: str
    kind: Kind
    spec: dict[str, Any]
    needs: Needs
    cell: Any = None

    @property
    def stem(self) -> str:
        return stem_of(self.name, self.key)


@dataclass(frozen=True)
class BadLine:
    """A line that is no job, and why. It has a row of its own; the others run."""

    key: str
    line: int
    name: str
    error: str


def stem_of(name: str, key: str) -> str:
    """What a job's files are called. A name alone could stand on two lines."""
    return f"{name}-{key[:8]}" if name else key[:16]
