"""Who may ask: every request to a route of ours comes through here.

ComfyUI itself has no log-in; a browser on the same machine must not become a way in. A page of
another site can post forms and text/plain without asking, so writes take JSON only, no foreign
Origin, and want a header or key that such a page cannot send. A page whose name was rebound to this
machine has a foreign Host. What came through a proxy comes from anywhere, whatever its headers say.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .bodies import HEAD, Answer, Refused, read_body

KEY = "ENSEMBLE_API_KEY"
HEADER = "X-Ensemble-Client"
KEY_HEADER = "X-API-Key"
# The editor's own page gets the word from ComfyUI's `/features`, a route that is not ours.
EDITOR_HEADER = "X-Ensemble-Editor"
EDITOR_FEATURE = "ensemble_editor"
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_FORWARDED = ("forwarded", "via", "x-real-ip", "cf-connecting-ip")
# `key` as a field of JSON; inside a string its quotes would be escaped.
_KEY_FIELD = re.compile(rb'"key"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Gate:
    """What all routes ask of a request."""

    # None: no key is asked for.
    key: str | None = None
    # Whether without a key only programs of this machine are answered.
    local: bool = False
    # What the editor's page proves itself by.
    editor: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    async def read(
        self, request: web.Request, limit: int, *, for_editor: bool = False
    ) -> dict[str, Any]:
        """The body of a request that may come in; a wrong key is refused before it is read. Raises
        Refused.

        Routes `for_editor` change nothing: they ask nothing of the editor's own page, and no header
        of programs where there is no key.
        """
        check_source(request, self)
        if for_editor and (self.key is None or self._is_editor(request)):
            return await read_body(request, limit)
        key = header_key(request)
        if self.key is not None and key is not None:
            check_key(request, self, {})
        look = self._look if self.key is not None and key is None else None
        body = await read_body(request, limit, look)
        check_key(request, self, body)
        return body

    def admit(self, request: web.Request, *, for_editor: bool = False) -> None:
        """Let a request without a body in, or raise Refused."""
        check_source(request, self)
        if not (for_editor and self._is_editor(request)):
            check_key(request, self, None)

    def _look(self, head: bytes) -> None:
        """Raises Refused (401) where the beginning of a long body has no right key."""
        if not any(_same(_text(each), self.key or "") for each in _KEY_FIELD.findall(head)):
            tip = f"send the key in a header, or in the first {HEAD:,} bytes of the body"
            raise Refused(401, "Invalid Api Key", tip=tip)

    def _is_editor(self, request: web.Request) -> bool:
        # Not by its Origin or Referer: programs write what they like there, and a page whose name was
        # rebound to this machine has the right ones.
        return _same(request.headers.get(EDITOR_HEADER, ""), self.editor)


async def answer_body(request: web.Request, gate: Gate, limit: int, answer: Answer) -> web.Response:
    """What `answer` says to a body of at most `limit` bytes, on a thread; for the routes that change
    nothing."""
    try:
        body = await gate.read(request, limit, for_editor=True)
    except Refused as refused:
        found = {"error": refused.message, **refused.extra}
        return web.json_response(found, status=refused.status)
    body.pop("key", None)
    status, found = await asyncio.to_thread(answer, body)
    return web.json_response(found, status=status)


def gate_of(environment: Mapping[str, str], *, local: bool) -> Gate:
    return Gate(environment.get(KEY) or None, local)


def check_source(request: web.Request, gate: Gate) -> None:
    """Raises Refused (403) for a request that another site's page made, or a proxy passed on to a
    keyless API."""
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        raise Refused(403, "the Host header is not a host")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Refused(403, "requests from pages of other sites are not taken")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() not in _own_origins(request):
        raise Refused(403, "requests from pages of other sites are not taken (Origin)")
    if gate.key is not None or not gate.local:
        return
    if not is_loopback_host(_name(host)):
        raise Refused(403, f"without {KEY} only localhost is answered (Host)")
    check_near(request, gate)


def check_near(request: web.Request, gate: Gate) -> None:
    """Raises Refused (403) for what a proxy passed on to a keyless API."""
    if gate.local and gate.key is None and is_forwarded(request):
        raise Refused(403, f"without {KEY} nothing is answered through a proxy; set {KEY}")


def is_forwarded(request: web.Request) -> bool:
    """Whether a proxy says that it passed the request on."""
    names = {name.lower() for name in request.headers}
    return any(name in _FORWARDED or name.startswith("x-forwarded-") for name in names)


def _own_origins(request: web.Request) -> tuple[str, str]:
    host = request.headers.get("Host", "").lower()
    return f"http://{host}", f"https://{host}"


def _name(host: str) -> str:
    """`host` without its port."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def is_loopback_host(host: str) -> bool:
    """Whether `host` is localhost or a loopback address, in or without brackets."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def check_key(request: web.Request, gate: Gate, body: dict[str, Any] | None) -> None:
    """Raises Refused (401) for a wrong or missing key.

    Without a configured key a write must still show that no page of another site made it: by a
    `key` field in its JSON (any, as the hosted calls have one), or by a header of ours.
    """
    sent = header_key(request)
    if sent is None:
        key = (body or {}).get("key")
        sent = key if isinstance(key, str) else None
    if gate.key is not None:
        if not _same(sent or "", gate.key):
            raise Refused(401, "Invalid Api Key", tip=f"send the key of {KEY}")
    elif body is not None and sent is None and HEADER not in request.headers:
        raise Refused(401, f"send a 'key' field (any text), or the header {HEADER}")


def header_key(request: web.Request) -> str | None:
    """The key that came in a header; None where none did."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    return request.headers.get(KEY_HEADER)


def _text(quoted: bytes) -> str:
    try:
        return json.loads(quoted, strict=False)
    except ValueError:
        return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(_digest(one), _digest(other))


def _digest(key: str) -> bytes:
    # Of one length, so that comparing tells nothing of the key's. Lone surrogates are legal in JSON.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
