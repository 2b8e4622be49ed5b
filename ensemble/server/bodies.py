"""What a body may be, and the answer to a request that is refused."""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

# How much of a long body is read before it must show a key.
HEAD = 65_536
# A body -> status and answer.
Answer = Callable[[object], tuple[int, dict[str, Any]]]


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """An HTTP status and what to say with it: a text, or field -> reasons."""

    def __init__(self, status: int, message: object, **extra: object) -> None:
        self.status = status
        self.message = message
        self.extra = extra
        super().__init__(str(message))


async def read_body(
    request: web.Request, limit: int, look: Callable[[bytes], None] | None = None
) -> dict[str, Any]:
    """The JSON object that was sent, of at most `limit` bytes; raises Refused (400, 413, 415).

    `look` is given the beginning of a body longer than HEAD before the rest is read. Two values under one key are refused: which one counts is a matter of taste, and a check must
    read what the work reads.
    """
    if request.content_type != "application/json":
        raise Refused(415, "send JSON, with the header Content-Type: application/json")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        # Ten thousand zeros travel as ten bytes.
        raise Refused(415, "send the body uncompressed")
    if (request.content_length or 0) > limit:
        raise Refused(413, f"a body may have {limit:,} bytes")
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > limit:  # a chunked body does not say its size
            raise Refused(413, f"a body may have {limit:,} bytes")
        if look and len(raw) > HEAD:
            look(bytes(raw[:HEAD]))
            look = None
    return parse_object(bytes(raw))


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object with each key once and numbers that JSON knows; raises Refused (400)."""
    try:
        body = json.loads(raw, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _no_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")
