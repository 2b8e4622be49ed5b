"""What the graph editor asks while people type: how a prompt is read, which LoRAs there are.

These routes read names and headers of files and change nothing, so they need no switch.

* `POST /ensemble/v1/prompt/read` `{text, negative?, weights?, order?, boxes?}`: the parts of a BREAK
  prompt with their LoRAs, and every problem the queue would stop at.
* `POST /ensemble/v1/loras/read` `{loras, strengths, prompt?}`: the rows of MultiLoraLoader's strings.
* `GET /ensemble/v1/loras`: every LoRA with trigger words and base model.

Offsets in answers count UTF-16 units, as JavaScript's strings do.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .editor_loras import list_loras
from .editor_read import read_prompt, read_stack
from .guard import Refused, read_body

PROMPT_PATH = "/ensemble/v1/prompt/read"
STACK_PATH = "/ensemble/v1/loras/read"
LORAS_PATH = "/ensemble/v1/loras"
MAX_BODY = 1_000_000
_PROMPT_KEYS = ("text", "negative", "weights", "order", "boxes")
_STACK_KEYS = ("loras", "strengths", "prompt")

Answer = tuple[int, dict[str, Any]]


def register_editor(routes: web.RouteTableDef) -> None:
    """Add the routes to ComfyUI's own."""

    @routes.post(PROMPT_PATH)
    async def prompt_route(request: web.Request) -> web.Response:
        return await _answer(request, read_prompt_body)

    @routes.post(STACK_PATH)
    async def stack_route(request: web.Request) -> web.Response:
        return await _answer(request, read_stack_body)

    @routes.get(LORAS_PATH)
    async def loras_route(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(list_loras))


def read_prompt_body(body: object) -> Answer:
    """Status and answer of PROMPT_PATH."""
    texts = _texts(body, _PROMPT_KEYS, "text")
    return (200, read_prompt(**texts)) if isinstance(texts, dict) else (400, {"error": texts})


def read_stack_body(body: object) -> Answer:
    """Status and answer of STACK_PATH."""
    texts = _texts(body, _STACK_KEYS, "loras")
    return (200, read_stack(**texts)) if isinstance(texts, dict) else (400, {"error": texts})


async def _answer(request: web.Request, read: Callable[[object], Answer]) -> web.Response:
    try:
        body = await read_body(request, MAX_BODY)
    except Refused as refused:
        return web.json_response({"error": refused.message}, status=refused.status)
    status, answer = await asyncio.to_thread(read, body)
    return web.json_response(answer, status=status)


def _texts(body: object, keys: tuple[str, ...], required: str) -> dict[str, str] | str:
    """The texts of a body, or what is wrong with it."""
    if not isinstance(body, dict) or required not in body:
        return f"the body must be an object with {required!r}"
    unknown = [str(key)[:40] for key in body if key not in keys]
    if unknown:
        return f"unknown keys: {', '.join(unknown[:5])}"
    for key, value in body.items():
        if not isinstance(value, str):
            return f"{key} must be a text"
    return body
