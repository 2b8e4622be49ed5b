"""Answers on their way to the disk: many side by side, while the workers have their next jobs."""

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from .events import Shelf, StoppedError
from .job import stem_of
from .ledger import Task

_WRITERS = ThreadPoolExecutor(8, "ensemble-publish")


class Publisher:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._answers: list[tuple[Task, dict[str, Any], str]] = []

    def add(self, task: Task, answer: dict[str, Any], worker: str) -> None:
        self._answers.append((task, answer, worker))

    def write(self) -> list[tuple[str, float]]:
        """All that were added since: keys and seconds of jobs that are done now. Raises StoppedError;
        those that are done for all that, are found by their records."""
        answers, self._answers = self._answers, []
        written = [_WRITERS.submit(self._write, *each) for each in answers]
        wait(written)
        for each in written:
            each.result()
        return [(task.key, answer["seconds"]) for task, answer, _ in answers]

    def _write(self, task: Task, answer: dict[str, Any], worker: str) -> None:
        record = {
            "line": task.line,
            "name": task.name,
            "seconds": round(answer["seconds"], 3),
            "worker": worker,
            "attempt": task.attempt,
            "report": answer["report"],
        }
        try:
            self._shelf.publish(task.key, stem_of(task.name, task.key), answer["files"], record)
        except OSError as error:
            raise StoppedError(
                f"{self._shelf.out} cannot be written to ({error.strerror or error}); make room "
                "there and call again: what is done is kept"
            ) from error
