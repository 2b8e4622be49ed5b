"""Calls to the addresses that clients leave for when their job ends.

Who is called is checked as `outside` says; no redirects, little time, few tries, and as few at once
to one host that one who hangs holds up nobody else.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from .config import HOSTS
from .job import Job, WebhookState
from .outside import TargetError, check_target, connector
from .store import JobStore, webhook_host

logger = logging.getLogger(__name__)

# Seconds between tries; after the last one the call is given up.
DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0)
TIMEOUT = 30.0
AT_ONCE = 64
AT_ONE_HOST = 2


@dataclass
class WebhookSender:
    """Delivers the calls that the store has due."""

    store: JobStore
    hosts: frozenset[str]
    # Makes what is sent for a job.
    body: Callable[[Job], dict[str, Any]]
    delays: tuple[float, ...] = DELAYS
    timeout: float = TIMEOUT
    resolver: AbstractResolver | None = None
    # Host and call of each job's.
    _calls: dict[str, tuple[str, asyncio.Task[None]]] = field(default_factory=dict, init=False)

    async def deliver_due(self) -> None:
        """Begin calls that are due, at most AT_ONCE and AT_ONE_HOST to one host. Does not wait."""
        self._calls = {name: call for name, call in self._calls.items() if not call[1].done()}
        room = AT_ONCE - len(self._calls)
        if room == 0:
            return
        hosts = Counter(host for host, _ in self._calls.values())
        busy = [host for host, count in hosts.items() if count >= AT_ONE_HOST]
        # Those on their way are still due in the store.
        for job in await asyncio.to_thread(self.store.due_hooks, time.time(), AT_ONCE, busy):
            host = webhook_host(job)
            if job.prompt_id in self._calls or hosts[host] >= AT_ONE_HOST or room == 0:
                continue
            hosts[host] += 1
            room -= 1
            self._calls[job.prompt_id] = host, asyncio.create_task(self._deliver(job))

    async def close(self) -> None:
        calls = [call for _, call in self._calls.values()]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _deliver(self, job: Job) -> None:
        tries = job.hook_tries + 1
        problem = await self._call(job)
        if problem is None:
            hook, at = WebhookState.SENT, None
        elif tries > len(self.delays):
            hook, at = WebhookState.GIVEN_UP, None
        else:
            hook, at = WebhookState.DUE, time.time() + self.delays[tries - 1]
        if problem is not None:
            logger.warning("webhook of job %d, try %d: %s", job.id, tries, problem)
        await asyncio.to_thread(self.store.set_hook, job.prompt_id, hook, tries, at)

    async def _call(self, job: Job) -> str | None:
        """One try: None if the target answered 2xx, else what went wrong."""
        try:
            url = check_target(job.webhook, self.hosts, HOSTS)  # the list may have changed
            body = await asyncio.to_thread(self.body, job)  # it may hold pictures
            limit = aiohttp.ClientTimeout(total=self.timeout)
            async with (
                aiohttp.ClientSession(connector=connector(self.resolver), timeout=limit) as session,
                session.post(url, json=body, allow_redirects=False) as answer,
            ):
                # Its text is nobody's business: it is not read.
                return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        except TargetError as error:
            return str(error)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
