"""What a body may be, and the answer to a request that is refused."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

# A body -> status and answer.
Answer = Callable[[object], tuple[int, dict[str, Any]]]


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """An HTTP status and what to say with it: a text, or field -> reasons."""

    def __init__(self, status: int, message: object, **extra: object) -> None:
        self.status = status
        self.message = message
        self.extra = extra
        super().__init__(str(message))


async def read_body(request: web.Request, limit: int) -> dict[str, Any]:
    """The JSON object that was sent, of at most `limit` bytes; raises Refused (400, 413, 415).

    Two values under one key are refused: which one counts is a matter of taste, and a check must
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


async def answer_body(request: web.Request, limit: int, answer: Answer) -> web.Response:
    """What `answer` says to a body of at most `limit` bytes, on a thread."""
    try:
        body = await read_body(request, limit)
    except Refused as refused:
        return web.json_response({"error": refused.message}, status=refused.status)
    status, found = await asyncio.to_thread(answer, body)
    return web.json_response(found, status=status)
