"""Addresses in the world outside that the API may call or fetch from.

A server that fetches what it is told to is a way into the network it stands in. So: only hosts the
user listed; the name is resolved once, every address must be a public one, and the connection goes
to an address that was checked; no proxies.
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

_LONGEST = 2000
# These carry IPv4 addresses inside: 6to4, and NAT64, whose translator may stand in our network.
_TUNNELS = tuple(map(ipaddress.ip_network, ("2002::/16", "64:ff9b::/96", "64:ff9b:1::/48")))


class TargetError(ValueError):
    """An address that must not be called."""


def check_target(url: object, hosts: frozenset[str], setting: str) -> str:
    """The address, if its host is on the list of that `setting`. Raises TargetError, which says why
    not."""
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
        raise TargetError(f"{parts.hostname} is not on the list of {setting}")
    literal = _literal(parts.hostname)
    # Whoever lists a private address means it; a name must not lead to one.
    if literal is not None and not is_public(literal) and str(literal) not in _names(hosts):
        raise TargetError("is a private address, which is not called")
    return url


def _listed(parts: SplitResult, port: int | None, hosts: frozenset[str]) -> bool:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return host in hosts or f"{host}:{port or default}" in hosts


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
        self._resolver = resolver or _Names()

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


class _Names(AbstractResolver):
    """The system's, on threads of its own: a name server that hangs must not hold up what else the
    process does on threads."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        ask = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(_THREADS, ask)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=0
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        pass


_THREADS = ThreadPoolExecutor(32, "ensemble-names")


def connector(resolver: AbstractResolver | None = None) -> aiohttp.TCPConnector:
    """One that connects to public addresses only, or to one that stands in the address itself."""
    return aiohttp.TCPConnector(
        resolver=PublicResolver(resolver), use_dns_cache=False, force_close=True
    )
