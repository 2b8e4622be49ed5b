"""What a person reads of a run: how it stands, how long it will take, which files are nowhere."""

import difflib
from collections.abc import Mapping

from .dispatch import Dispatcher
from .job import State


def standing(counts: Mapping[State, int]) -> str:
    left = counts[State.WAITING] + counts[State.RUNNING]
    return f"done {counts[State.DONE]}, failed {counts[State.FAILED]}, left {left}"


def remaining(queue: Dispatcher, running: float, workers: int) -> str:
    """Of what waits and of so much work that runs, half done on average."""
    seconds = (queue.left() + queue.seconds(running / 2)) / max(workers, 1)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def missing_hint(queue: Dispatcher, files: frozenset[str]) -> str:
    """Files of a failed graph that nobody has, with what is near, a line each."""
    known = queue.known_files()
    lines = []
    for name in queue.nowhere(files):
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        lines.append(f"no worker has {name!r}" + (f"; near: {', '.join(near)}" if near else ""))
    return "".join(f"\n{line}" for line in lines)
