"""What the routes of the job API share: letting requests in, accepting jobs, giving pictures out."""

import asyncio
import base64
import json
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ...lora.aliases import AliasFileError
from ...recipes.recipe import Service
from ..access import Gate
from ..bodies import Refused
from .answers import links
from .config import HOSTS, Config
from .draft import Draft, read_idempotency_key, read_track_id, request_hash
from .job import Job, WebhookState
from .jobs import JobIds, Jobs, new_ids, work_of
from .outside import TargetError, check_target
from .pictures import PictureError
from .queue import GraphError
from .store import FullError, ReusedError

IDEMPOTENCY_HEADER = "Idempotency-Key"
RETRY_AFTER = 30
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
# Of their own, as a draft may wait for a picture to be fetched, and the store must not wait with it.
_COMPILING = ThreadPoolExecutor(16, "ensemble-compile")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class JobOptions:
    """What a client asks for besides the picture."""

    # The client's own id of the request: the same one again gives the same job.
    idempotency_key: str | None
    # Hash of what was asked.
    request: str
    track_id: str | int | None
    webhook: str | None
    # What links in the answers begin with.
    base: str
    # Whether the pictures are removed after a day.
    temporary: bool = False


class JobService:
    def __init__(self, config: Config, jobs: Jobs) -> None:
        self.config = config
        self.jobs = jobs
        self.gate = Gate(config.key, local=True)

    async def read(self, request: web.Request) -> dict[str, Any]:
        """The body of a write that may come in. Raises Refused."""
        return await self.gate.read(request, self.config.body)

    def admit_read(self, request: web.Request) -> None:
        """Let a GET in, or raise Refused."""
        self.gate.admit(request)

    def base(self, request: web.Request) -> str:
        """The beginning of links in answers."""
        return self.config.url or f"{request.scheme}://{request.host}"

    def options(
        self,
        request: web.Request,
        path: str,
        body: dict[str, Any],
        *,
        own_id: object = None,
        track_is_key: bool = False,
        temporary: bool = False,
    ) -> JobOptions:
        """The options of a submission to `path`. `own_id` is an idempotency key out of the body.

        With `track_is_key` the same request under the same `track_id` is a second try: clients use
        one track_id for many requests. Raises Refused and TargetError.
        """
        key = read_idempotency_key(request.headers.get(IDEMPOTENCY_HEADER), own_id)
        track_id, asked = read_track_id(body.get("track_id")), request_hash(path, body)
        if key is None and track_is_key and track_id is not None:
            key = f"track:{json.dumps(track_id)}:{asked}"
        webhook = body.get("webhook")
        if webhook in (None, ""):
            webhook = None
        else:
            webhook = check_target(webhook, self.config.webhook_hosts, HOSTS)
        return JobOptions(key, asked, track_id, webhook, self.base(request), temporary)

    async def submit(
        self, options: JobOptions, compiled: Callable[[JobIds], tuple[Draft, dict[str, Any]]]
    ) -> tuple[Job, bool]:
        """The job of a request, and whether it is new.

        `compiled` is called on a thread for a new one: its draft, and what its answers need beside
        the options. Raises Refused: 409 for a key that was used for another request, 429 where as
        many jobs wait as may. Raises GraphError, and whatever `compiled` raises.
        """
        store = self.jobs.store
        if options.idempotency_key is not None:
            known = await asyncio.to_thread(store.by_idempotency_key, options.idempotency_key)
            if known is not None:
                if known.request != options.request:
                    raise _reused()
                return known, False
        # Before any work is put into a job that cannot wait.
        if await asyncio.to_thread(store.count_waiting) >= self.config.queue:
            raise self._full()
        ids = new_ids()
        work = asyncio.get_running_loop().run_in_executor(_COMPILING, compiled, ids)
        draft, answer = await work
        try:
            return await self.jobs.submit(_job(draft, ids, options, answer), draft.uploads)
        except FullError as error:
            raise self._full() from error
        except ReusedError as error:
            raise _reused() from error

    async def find(self, number: object) -> Job | None:
        """The job of an id as a client sends it, a number or its digits."""
        if not isinstance(number, str | int) or not re.fullmatch("[0-9]{1,16}", str(number)):
            return None
        return await asyncio.to_thread(self.jobs.store.by_id, int(number))

    async def output(self, job: Job, base: str) -> list[str]:
        """Links to a job's pictures, or the pictures in base64 where that was asked for."""
        return await asyncio.to_thread(self.output_now, job, base)

    def output_now(self, job: Job, base: str) -> list[str]:
        if not job.answer.get("base64"):
            return links(job, base)
        paths = [self.jobs.picture_path(record) for record in job.outputs]
        return [base64.b64encode(path.read_bytes()).decode() for path in paths if path]

    def _full(self) -> Refused:
        return Refused(
            429,
            f"Rate limit exceeded. Maximum {self.config.queue} queued requests allowed.",
            retry_after=RETRY_AFTER,
        )


def _job(draft: Draft, ids: JobIds, options: JobOptions, answer: dict[str, Any]) -> Job:
    recipe = draft.recipe
    return Job(
        id=ids.id,
        prompt_id=ids.prompt_id,
        kind=(recipe.service if recipe.service is Service.ASTRIA else recipe.task).value,
        graph=draft.graph,
        pictures=recipe.pictures or 1,
        work=work_of(recipe),
        prefix=ids.prefix,
        answer=answer | {"base": options.base, "track_id": options.track_id},
        created=time.time(),
        request=options.request,
        idempotency_key=options.idempotency_key,
        temporary=options.temporary,
        webhook=options.webhook,
        hook=WebhookState.WAITING if options.webhook else WebhookState.NONE,
    )


def _reused() -> Refused:
    return Refused(409, "this client's id was used before, for another request")


def answer(value: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(value, status=status, headers=_HEADERS)


def answering(
    handler: Handler, shape: Callable[..., dict[str, Any]], *, unprocessed: int
) -> Handler:
    """The handler with refusals told in the API's own shape, `shape(message, **more)`.

    `unprocessed` is the status for a request that is in order and cannot be done here.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            found = answer(shape(refused.message, **refused.extra), refused.status)
            if refused.status == 429:
                found.headers["Retry-After"] = str(RETRY_AFTER)
            return found
        except (GraphError, AliasFileError) as error:
            return answer(shape(str(error)), unprocessed)
        except PictureError as error:
            return answer(shape(f"a picture {error}"), unprocessed)
        except TargetError as error:
            return answer(shape({"webhook": [f"The webhook {error}."]}), unprocessed)

    return handle
