"""Calls to the addresses that clients leave for when their job ends.

A server that fetches what it is told to is a way into the network it stands in. So: only hosts the
user listed; the name is resolved once, every address must be a public one, and the connection goes
to an address that was checked; no redirects, no proxies, little time, few tries.
"""

import asyncio
import ipaddress
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .config import HOSTS
from .job import Job, WebhookState
from .store import JobStore, webhook_host

logger = logging.getLogger(__name__)

# Seconds between tries; after the last one the call is given up.
DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0)
TIMEOUT = 30.0
AT_ONCE = 8
AT_ONE_HOST = 2  # one that hangs must not hold up the others'
_LONGEST = 2000
# These carry IPv4 addresses inside: 6to4, and NAT64, whose translator may stand in our network.
_TUNNELS = tuple(map(ipaddress.ip_network, ("2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")))


class TargetError(ValueError):
    """An address that must not be called."""


def check_target(url: object, hosts: frozenset[str]) -> str:
    """The address, if its host is on the list. Raises TargetError, which says why not."""
    if (
        not isinstance(url, str)
        or len(url) > _LONGEST
        or not url.isascii()
        or not url.isprintable()
    ):
        raise TargetError(f"must be an http(s) address of at most {_LONGEST} plain characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise TargetError("is not an address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "\\" in url:
        raise TargetError("must be an http:// or https:// address with a host")
    if "@" in parts.netloc:
        raise TargetError("must not hold a user name or password")
    if not _listed(parts, port, hosts):
        raise TargetError(f"{parts.hostname} is not on the list of {HOSTS}")
    literal = _literal(parts.hostname)
    # Whoever lists a private address means it; a name must not lead to one.
    if literal is not None and not is_public(literal) and str(literal) not in _names(hosts):
        raise TargetError("private addresses are not called")
    return url


def _listed(parts: SplitResult, port: int | None, hosts: frozenset[str]) -> bool:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    if f"{host}:{port or default}" in hosts:
        return True
    return host in hosts


def _names(hosts: frozenset[str]) -> set[str]:
    return {urlsplit(f"//{host}").hostname or "" for host in hosts}


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is public, and does not carry a private one inside."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if any(address in network for network in _TUNNELS):
            return False
    return address.is_global and not address.is_multicast


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; what it returns is what is connected to."""

    def __init__(self, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError where one address is not public: no part of such a name is trusted."""
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            if not is_public(ipaddress.ip_address(each["host"].partition("%")[0])):
                raise OSError(f"{host} leads to a private address")
        return found

    async def close(self) -> None:
        await self._resolver.close()


class WebhookSender:
    """Delivers the calls that the store has due. `body` makes what is sent for a job."""

    def __init__(
        self,
        store: JobStore,
        hosts: frozenset[str],
        body: Callable[[Job], dict[str, Any]],
        *,
        delays: tuple[float, ...] = DELAYS,
        timeout: float = TIMEOUT,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._body = body
        self._delays = delays
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._resolver = resolver
        self._calls: dict[str, tuple[str, asyncio.Task[None]]] = {}  # host and call

    async def deliver_due(self) -> None:
        """Begin calls that are due, at most AT_ONCE and AT_ONE_HOST to one host. Does not wait."""
        self._calls = {name: call for name, call in self._calls.items() if not call[1].done()}
        room = AT_ONCE - len(self._calls)
        if room == 0:
            return
        hosts = Counter(host for host, _ in self._calls.values())
        busy = [host for host, count in hosts.items() if count >= AT_ONE_HOST]
        # Those on their way are still due in the store.
        for job in await asyncio.to_thread(self._store.due_hooks, time.time(), AT_ONCE, busy):
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
        elif tries > len(self._delays):
            hook, at = WebhookState.GIVEN_UP, None
        else:
            hook, at = WebhookState.DUE, time.time() + self._delays[tries - 1]
        if problem is not None:
            logger.warning("webhook of job %d, try %d: %s", job.id, tries, problem)
        await asyncio.to_thread(self._store.set_hook, job.prompt_id, hook, tries, at)

    async def _call(self, job: Job) -> str | None:
        """One try: None if the target answered 2xx, else what went wrong."""
        try:
            url = check_target(job.webhook, self._hosts)  # the list may have changed
            connector = aiohttp.TCPConnector(
                resolver=PublicResolver(self._resolver), use_dns_cache=False, force_close=True
            )
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=self._timeout, trust_env=False
                ) as session,
                session.post(url, json=self._body(job), allow_redirects=False) as answer,
            ):
                # Its text is nobody's business: it is not read.
                return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        except TargetError as error:
            return str(error)
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            return f"{type(error).__name__}: {str(error)[:200]}"
