"""What this machine's ComfyUI would say of each job, with nothing rendered."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Any

from .comfy import HttpError, get_json, post_json, refusal_text
from .inputs import Pictures
from .job import BadLine, Job, Kind
from .keys import seed_of
from .machine import Machine
from .worker import COMPILE, Worker

_ANSWER = 120.0  # seconds


def check_jobs(
    jobs: Sequence[Job | BadLine], machine: Machine, pictures: Pictures
) -> Iterator[tuple[Job | BadLine, str]]:
    """Each line with what is wrong with it, "" for nothing. Recipes are compiled; of graphs the nodes and
    model files are looked up, their inputs are checked where they run. Raises ChildError."""
    worker = Worker(machine.setup())
    try:
        here = worker.ready()
        nodes = frozenset(get_json(here["url"] + "/object_info", _ANSWER))
        for job in jobs:
            if isinstance(job, BadLine):
                yield job, job.error
            elif job.kind is Kind.GRAPH:
                yield job, _graph_error(job, nodes, here["files"])
            else:
                worker.put_pictures(pictures.read(job.needs.pictures))
                yield job, _recipe_error(job, here["url"])
    finally:
        worker.stop()


def _recipe_error(job: Job, url: str) -> str:
    try:
        post_json(url + COMPILE, {"seed": seed_of(job.key), **job.spec["request"]}, _ANSWER)
    except HttpError as error:
        return refusal_text(error.answer)[:2000]
    return ""


def _graph_error(job: Job, nodes: frozenset[str], files: Sequence[str]) -> str:
    kinds = {each["class_type"] for each in job.spec["graph"].values()}
    found = [_missing(f"no node {kind!r}", kind, nodes) for kind in sorted(kinds - nodes)]
    lacking = sorted(job.needs.files - set(files))
    return "; ".join(found + [_missing(f"no file {name!r}", name, files) for name in lacking])


def _missing(words: str, name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return words + (f"; near: {', '.join(near)}" if near else "")
