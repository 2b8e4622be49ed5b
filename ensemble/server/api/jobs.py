"""Jobs from acceptance to outcome: into the store, onto ComfyUI's queue, and back with pictures."""

import asyncio
import contextlib
import logging
import secrets
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import folder_paths

from ...recipes.recipe import Recipe
from .job import Job, Outcome
from .pictures import Upload, delete_pictures, find_pictures, write_uploads
from .queue import ComfyQueue, GraphError
from .store import JobStore
from .webhooks import WebhookSender

if TYPE_CHECKING:
    from .many import ManyQueue

logger = logging.getLogger(__name__)

MOST_CRASHES = 3
FIRST_GUESS = 15.0  # seconds for a job of a kind that never ran here
TEMPORARY = 24 * 3600.0
_PAUSE = 0.25  # seconds between snapshots of the queue
_IDLE_PAUSES = 8  # and this many pauses where nothing of ours is in it
_SWEEP = 600.0


@dataclass(frozen=True)
class JobIds:
    """The names of a new job. Nobody can guess the ids; `id` is exact as a JavaScript number."""

    id: int
    prompt_id: str
    prefix: str


def new_ids() -> JobIds:
    prompt_id = str(uuid.uuid4())
    day = time.strftime("%Y-%m-%d")
    return JobIds(2**52 + secrets.randbits(52), prompt_id, f"ensemble/{day}/{prompt_id}")


class Jobs:
    """`limit` jobs may wait at once. One task watches the queue and delivers webhooks."""

    def __init__(
        self, store: JobStore, queue: "ComfyQueue | ManyQueue", sender: WebhookSender, *, limit: int
    ) -> None:
        self.store = store
        self._queue = queue
        self._sender = sender
        self._limit = limit
        self._output = Path(folder_paths.get_output_directory())
        self._inputs = Path(folder_paths.get_input_directory())
        self._queued: dict[str, Job] = {}
        self._began: dict[str, float] = {}
        self._rates: dict[str, float | None] = {}
        self._task: asyncio.Task[None] | None = None
        self._swept = -_SWEEP

    async def start(self) -> None:
        """Queue again what an earlier process left without an outcome, then watch the queue."""
        if self._queue.runs_here:
            await asyncio.to_thread(self.store.count_crashes)
        for job in await asyncio.to_thread(self.store.waiting):
            await self._take_up(job)
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._sender.close()
        await asyncio.to_thread(self.store.close)

    async def submit(self, job: Job, uploads: tuple[Upload, ...]) -> tuple[Job, bool]:
        """Accept a job: from here on it has an outcome some day. The job as it stands, and whether it
        is new. Raises GraphError, ReusedError and FullError.
        """
        # LoadImage's check wants the files.
        await asyncio.to_thread(write_uploads, uploads, self._inputs)
        graph, outputs = await self._queue.check(job.prompt_id, job.graph)
        added, new = await asyncio.to_thread(self.store.add, replace(job, graph=graph), self._limit)
        if new:
            self._put(added, outputs)
        return added, new

    async def eta(self, job: Job) -> float:
        """Estimated seconds until the job is done: its own and those of the jobs before it, by the
        speed of past runs."""
        kinds = {each.kind for each in (*self._queued.values(), job)}
        for kind in kinds - self._rates.keys():
            runs = await asyncio.to_thread(self.store.past_runs, kind)
            rates = [seconds / work for work, seconds in runs if work > 0]
            self._rates[kind] = median(rates) if rates else None
        ours = [each for each in self._queued.values() if each.number <= job.number]
        others = max(self._queue.length() - len(self._queued), 0)
        seconds = sum(map(self._guess, ours)) + others * self._guess(job)
        return max(seconds - sum(time.monotonic() - began for began in self._began.values()), 0.5)

    def _guess(self, job: Job) -> float:
        rate = self._rates.get(job.kind)
        return FIRST_GUESS if rate is None else rate * job.work

    def _put(self, job: Job, outputs: list[str]) -> None:
        self._queue.put(job.prompt_id, job.graph, outputs)
        # A graph is large, and from here on it is in the queue and the store.
        self._queued[job.prompt_id] = replace(job, graph={})

    async def _take_up(self, job: Job) -> None:
        """A job that an earlier process left without an outcome."""
        found = await asyncio.to_thread(find_pictures, self._output, job.prefix)
        if len(found) >= job.pictures:
            await self._finish(job.prompt_id, Outcome(outputs=found))
        elif job.crashes >= MOST_CRASHES:
            error = f"ComfyUI ended {job.crashes} times while it ran; it is not tried again"
            await self._finish(job.prompt_id, Outcome(error=error))
        else:
            # What was half saved would stand beside what the same seed gives again.
            await asyncio.to_thread(delete_pictures, self._output, job.prefix)
            try:
                graph, outputs = await self._queue.check(job.prompt_id, job.graph)
            except GraphError as error:
                await self._finish(job.prompt_id, Outcome(error=f"after a restart: {error}"))
            else:
                self._put(replace(job, graph=graph), outputs)

    async def _watch(self) -> None:
        while True:
            try:
                await self._settle()
                await self._sender.deliver_due()
                await self._sweep()
            except Exception:
                # A full disk or a locked file may pass; who watches must go on.
                logger.exception("jobs are not being watched; trying again")
                await asyncio.sleep(_IDLE_PAUSES * _PAUSE)
            for _ in range(_IDLE_PAUSES):
                await asyncio.sleep(_PAUSE)
                if self._queued:
                    break

    async def _settle(self) -> None:
        """Give every job that has left the queue its outcome."""
        queued = list(self._queued)
        if not queued:
            return
        now = self._queue.snapshot(queued)
        for name in now.running.intersection(queued) - self._began.keys():
            self._began[name] = time.monotonic()
            await asyncio.to_thread(self.store.set_running, name)
        for name, outcome in now.ended.items():
            await self._finish(name, outcome)
        for name in set(queued) - now.running - now.queued - now.ended.keys():
            await self._finish(name, await self._outcome_of_lost(self._queued[name]))

    async def _outcome_of_lost(self, job: Job) -> Outcome:
        """The outcome of a job that somebody took out of the queue, or whose history was cleared."""
        found = await asyncio.to_thread(find_pictures, self._output, job.prefix)
        if len(found) >= job.pictures:
            return Outcome(outputs=found)
        return Outcome(error="it was removed from ComfyUI's queue")

    async def _finish(self, prompt_id: str, outcome: Outcome) -> None:
        await asyncio.to_thread(self.store.finish, prompt_id, outcome, time.time())
        job = self._queued.pop(prompt_id, None)
        self._began.pop(prompt_id, None)
        if job is not None:
            self._rates.pop(job.kind, None)

    async def _sweep(self) -> None:
        """Remove the pictures of temporary jobs after their day."""
        if time.monotonic() - self._swept < _SWEEP:
            return
        self._swept = time.monotonic()
        for job in await asyncio.to_thread(self.store.expired, time.time() - TEMPORARY):
            await asyncio.to_thread(delete_pictures, self._output, job.prefix)
            await asyncio.to_thread(self.store.drop_pictures, job.prompt_id)

    def picture_path(self, record: dict[str, str]) -> Path | None:
        """The file of one of a job's pictures, if it still is in the output folder."""
        path = self._output / record["subfolder"] / record["filename"]
        inside = folder_paths.is_within_directory(str(self._output), str(path))
        return path if inside and path.is_file() else None


def work_of(recipe: Recipe) -> float:
    """How many pixels a filled recipe samples; 512x512 where the input picture decides its size."""
    pixels = (recipe.width or 512) * (recipe.height or 512)
    return float(pixels * (recipe.steps or 1) * (recipe.pictures or 1))
