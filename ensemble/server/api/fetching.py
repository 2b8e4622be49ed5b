"""Pictures by their addresses, from hosts that the user listed; see `outside` for what is let through.

Off by default. A picture is decoded and written anew like one that came in the body, under a name that
follows from its pixels: fetched again, it is the same file.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver

from .config import PICTURE_HOSTS
from .outside import TargetError, check_target, connector
from .pictures import PictureError, Upload, read_picture

TIMEOUT = 20.0  # seconds for a picture with all its redirects
MOST_REDIRECTS = 3
_TYPES = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "application/octet-stream",
    "binary/octet-stream",
)
_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class PictureFetcher:
    """`limit` is in bytes. No hosts: nothing is fetched."""

    hosts: frozenset[str]
    limit: int
    timeout: float = TIMEOUT
    resolver: AbstractResolver | None = None

    def wants(self, address: str) -> bool:
        """Whether it is an address on a listed host."""
        try:
            check_target(address, self.hosts, PICTURE_HOSTS)
        except TargetError:
            return False
        return True

    def __call__(self, address: str) -> Upload:
        """The picture; to be called on a thread. Raises PictureError."""
        return read_picture(asyncio.run(self._get_in_time(address)))

    async def _get_in_time(self, address: str) -> bytes:
        try:
            return await asyncio.wait_for(self._get(address), self.timeout)
        except asyncio.TimeoutError as error:
            raise PictureError(f"cannot be fetched within {self.timeout:g} seconds") from error

    async def _get(self, address: str) -> bytes:
        session = aiohttp.ClientSession(
            connector=connector(self.resolver),
            # The one deadline is around all redirects.
            timeout=aiohttp.ClientTimeout(total=None),
            # Ten thousand zeros travel as ten bytes.
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "Accept": "image/*"},
        )
        try:
            async with session:
                for _ in range(MOST_REDIRECTS + 1):
                    check_target(address, self.hosts, PICTURE_HOSTS)
                    async with session.get(address, allow_redirects=False) as answer:
                        if answer.status not in _MOVED:
                            return await self._body(answer)
                        address = urljoin(address, answer.headers.get("Location", ""))
        except PictureError:
            raise
        except TargetError as error:
            raise PictureError(f"cannot be fetched: it {error}") from error
        except asyncio.TimeoutError:
            raise  # an OSError too, but whoever set the deadline tells of it
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PictureError(f"cannot be fetched: {type(error).__name__}") from error
        raise PictureError(f"cannot be fetched: more than {MOST_REDIRECTS} redirects")

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        if answer.status != 200:
            raise PictureError(f"cannot be fetched: HTTP {answer.status}")
        if answer.content_type not in _TYPES:
            raise PictureError(f"cannot be fetched: it is {answer.content_type[:60]}, no picture")
        data = bytearray()
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > self.limit:
                raise PictureError(f"cannot be fetched: it has more than {self.limit:,} bytes")
        return bytes(data)
