"""Who may ask, and what a body may be: every request to the API comes through here.

ComfyUI itself has no log-in; a browser on the same machine must not become a way in. A page of
another site can post forms and text/plain without asking, so writes take JSON only, no foreign
Origin, and want a header or key that such a page cannot send. A page whose name was rebound to this
machine has a foreign Host.
"""

import hashlib
import hmac
import json
import re
from typing import Any

from aiohttp import web

from .config import Config, is_loopback_host

HEADER = "X-Ensemble-Client"
KEY_HEADER = "X-API-Key"
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


class Refused(Exception):  # noqa: N818 - an answer, not a failure
    """An HTTP status and what to say with it: a text, or field -> reasons."""

    def __init__(self, status: int, message: object, **extra: object) -> None:
        self.status = status
        self.message = message
        self.extra = extra
        super().__init__(str(message))


def check_source(request: web.Request, config: Config) -> None:
    """Raises Refused (403) for a request that another site's page made."""
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise Refused(403, "the Host header is not a host")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Refused(403, "requests from pages of other sites are not taken")
    origin = request.headers.get("Origin")
    ours = (f"http://{host}".lower(), f"https://{host}".lower())
    if origin is not None and origin.lower() not in ours:
        raise Refused(403, "requests from pages of other sites are not taken (Origin)")
    if config.key is None and not is_loopback_host(_name(host)):
        raise Refused(403, "without ENSEMBLE_API_KEY only localhost is answered (Host)")


def _name(host: str) -> str:
    """`host` without its port."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


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


def check_key(request: web.Request, config: Config, body: dict[str, Any] | None) -> None:
    """Raises Refused (401) for a wrong or missing key.

    Without a configured key a write must still show that no page of another site made it: by a
    `key` field in its JSON (any, as the hosted calls have one), or by a header of ours.
    """
    sent = _sent_key(request, body)
    if config.key is not None:
        if not hmac.compare_digest(_digest(sent or ""), _digest(config.key)):
            raise Refused(401, "Invalid Api Key", tip="send the key of ENSEMBLE_API_KEY")
    elif body is not None and sent is None and HEADER not in request.headers:
        raise Refused(401, f"send a 'key' field (any text), or the header {HEADER}")


def _sent_key(request: web.Request, body: dict[str, Any] | None) -> str | None:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token
    if KEY_HEADER in request.headers:
        return request.headers[KEY_HEADER]
    key = (body or {}).get("key")
    return key if isinstance(key, str) else None


def _digest(key: str) -> bytes:
    # Of one length, so that comparing tells nothing of the key's. Lone surrogates are legal in JSON.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
