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
from functools import partial
from typing import Any

from aiohttp import web

from ..bodies import answer_body
from .loras import list_loras
from .readings import tell_prompt, tell_stack

PROMPT_PATH = "/ensemble/v1/prompt/read"
STACK_PATH = "/ensemble/v1/loras/read"
LORAS_PATH = "/ensemble/v1/loras"
MAX_BODY = 1_000_000
_PROMPT_KEYS = ("text", "negative", "weights", "order", "boxes")
_STACK_KEYS = ("loras", "strengths", "prompt")


def register_editor(routes: web.RouteTableDef) -> None:
    for path, answer in ((PROMPT_PATH, read_prompt_body), (STACK_PATH, read_stack_body)):
        routes.post(path)(partial(answer_body, limit=MAX_BODY, answer=answer))

    @routes.get(LORAS_PATH)
    async def loras_route(_: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(list_loras))


def read_prompt_body(body: object) -> tuple[int, dict[str, Any]]:
    """Status and answer of PROMPT_PATH."""
    return _read(body, _PROMPT_KEYS, "text", tell_prompt)


def read_stack_body(body: object) -> tuple[int, dict[str, Any]]:
    """Status and answer of STACK_PATH."""
    return _read(body, _STACK_KEYS, "loras", tell_stack)


def _read(
    body: object, keys: tuple[str, ...], required: str, tell: Callable[..., dict[str, Any]]
) -> tuple[int, dict[str, Any]]:
    if not isinstance(body, dict) or required not in body:
        return 400, {"error": f"the body must be an object with {required!r}"}
    unknown = [str(key)[:40] for key in body if key not in keys]
    if unknown:
        return 400, {"error": f"unknown keys: {', '.join(unknown[:5])}"}
    for key, value in body.items():
        if not isinstance(value, str):
            return 400, {"error": f"{key} must be a text"}
    return 200, tell(**body)
