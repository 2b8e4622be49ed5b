"""What the routes of the API share: letting requests in, accepting jobs, giving pictures out."""

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from ..lora.names import AliasFileError
from .answers import links
from .config import Config
from .draft import Draft
from .guard import Refused, check_key, check_source, read_body
from .jobs import Jobs, Ticket
from .journal import FullError, Hook, Job, ReusedError
from .pictures import PictureError
from .queue import GraphError
from .webhooks import TargetError, check_target

logger = logging.getLogger(__name__)

RETRY_AFTER = 30
_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True)
class Terms:
    """What a client wants of its job beside the picture."""

    claim: str | None
    request: str
    webhook: str | None
    temporary: bool = False


class Desk:
    """One for the running server."""

    def __init__(self, config: Config, jobs: Jobs) -> None:
        self.config = config
        self.jobs = jobs

    async def read(self, request: web.Request) -> dict[str, Any]:
        """The body of a write that may come in. Raises Refused."""
        check_source(request, self.config)
        body = await read_body(request, self.config.body)
        check_key(request, self.config, body)
        return body

    def admit_read(self, request: web.Request) -> None:
        """Let a GET in, or raise Refused."""
        check_source(request, self.config)
        check_key(request, self.config, None)

    def base(self, request: web.Request) -> str:
        """What links begin with."""
        return self.config.url or f"{request.scheme}://{request.host}"

    def webhook(self, value: object) -> str | None:
        """A webhook's address that may be called, None for none. Raises TargetError."""
        return None if value in (None, "") else check_target(value, self.config.webhook_hosts)

    async def known(self, terms: Terms) -> Job | None:
        """The job of a client's id that was used before. Raises Refused (409) for another request."""
        if terms.claim is None:
            return None
        job = await asyncio.to_thread(self.jobs.journal.by_claim, terms.claim)
        if job is not None and job.request != terms.request:
            raise _reused()
        return job

    async def check_room(self) -> None:
        """Raises Refused (429) before any work is put into a job that cannot wait."""
        if await asyncio.to_thread(self.jobs.journal.count_waiting) >= self.config.queue:
            raise self._full()

    async def accept(
        self, draft: Draft, ticket: Ticket, terms: Terms, answer: dict[str, Any]
    ) -> tuple[Job, bool]:
        """The accepted job and whether it is new. Raises Refused and GraphError."""
        job = Job(
            id=ticket.id,
            prompt_id=ticket.prompt_id,
            kind=draft.kind,
            graph=draft.graph,
            pictures=draft.recipe.pictures or 1,
            work=draft.work,
            prefix=ticket.prefix,
            answer=answer,
            created=time.time(),
            request=terms.request,
            claim=terms.claim,
            temporary=terms.temporary,
            webhook=terms.webhook,
            hook=Hook.WAITING if terms.webhook else Hook.NONE,
        )
        try:
            return await self.jobs.submit(job, draft.uploads)
        except FullError as error:
            raise self._full() from error
        except ReusedError as error:
            raise _reused() from error

    async def find(self, number: object) -> Job | None:
        """The job of an id as a client sends it, a number or its digits."""
        if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 20:
            number = int(number)
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 2**53:
            return None
        return await asyncio.to_thread(self.jobs.journal.by_id, number)

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

    async def handle(request: web.Request) -> web.Response:
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
