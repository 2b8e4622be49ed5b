"""Who may ask: every request to the job API comes through here.

ComfyUI itself has no log-in; a browser on the same machine must not become a way in. A page of
another site can post forms and text/plain without asking, so writes take JSON only, no foreign
Origin, and want a header or key that such a page cannot send. A page whose name was rebound to this
machine has a foreign Host.
"""

import hashlib
import hmac
import re
from typing import Any

from aiohttp import web

from ..bodies import Refused
from .config import Config, is_loopback_host

HEADER = "X-Ensemble-Client"
KEY_HEADER = "X-API-Key"
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")


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
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    if KEY_HEADER in request.headers:
        return request.headers[KEY_HEADER]
    key = (body or {}).get("key")
    return key if isinstance(key, str) else None


def _digest(key: str) -> bytes:
    # Of one length, so that comparing tells nothing of the key's. Lone surrogates are legal in JSON.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
