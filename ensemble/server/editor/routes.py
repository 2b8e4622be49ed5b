"""What the graph editor asks while people type: how a prompt is read, which LoRAs there are.

These routes read names and headers of files and change nothing, so they need no switch. Where there
is a key, whoever is not the editor's own page must send it.

* `POST /ensemble/v1/prompt/read` `{text, negative?, weights?, order?, boxes?, places?}`: the parts of a BREAK
  prompt with their LoRAs, and every problem the queue would stop at.
* `POST /ensemble/v1/loras/read` `{loras, strengths, prompt?}`: the rows of MultiLoraLoader's strings.
* `POST /ensemble/v1/cast/read` `{text, negative?, cast?}`: everybody of a cast, and who is named where.
* `GET /ensemble/v1/loras`: every LoRA with trigger words and base model.
* `GET /ensemble/v1/references`: every picture that `<ref:NAME>` can mean.
* `GET /ensemble/v1/poses?width=768&height=512`: poses to begin with, by name, as the input `joints` holds bodies.

Offsets in answers count UTF-16 units, as JavaScript's strings do.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from ..access import Gate, answer_body
from ..bodies import Refused
from .cast import tell_cast
from .loras import list_loras
from .poses import tell_poses
from .readings import tell_prompt, tell_stack
from .references import list_references

PROMPT_PATH = "/ensemble/v1/prompt/read"
STACK_PATH = "/ensemble/v1/loras/read"
CAST_PATH = "/ensemble/v1/cast/read"
LORAS_PATH = "/ensemble/v1/loras"
REFERENCES_PATH = "/ensemble/v1/references"
POSES_PATH = "/ensemble/v1/poses"
MAX_BODY = 1_000_000
# Keys of the bodies; the first must be there.
_PROMPT_KEYS = ("text", "negative", "weights", "order", "boxes", "places")
_STACK_KEYS = ("loras", "strengths", "prompt")
_CAST_KEYS = ("text", "negative", "cast")


def register_editor(routes: web.RouteTableDef, gate: Gate) -> None:
    for path, keys, tell in (
        (PROMPT_PATH, _PROMPT_KEYS, tell_prompt),
        (STACK_PATH, _STACK_KEYS, tell_stack),
        (CAST_PATH, _CAST_KEYS, tell_cast),
    ):
        answer = partial(_read, keys=keys, tell=tell)
        routes.post(path)(partial(answer_body, gate=gate, limit=MAX_BODY, answer=answer))

    @routes.get(LORAS_PATH)
    async def loras_route(request: web.Request) -> web.Response:
        return await _get(gate, request, list_loras)

    @routes.get(REFERENCES_PATH)
    async def references_route(request: web.Request) -> web.Response:
        return await _get(gate, request, list_references)

    @routes.get(POSES_PATH)
    async def poses_route(request: web.Request) -> web.Response:
        return await _get(gate, request, partial(tell_poses, dict(request.query)))


async def _get(gate: Gate, request: web.Request, tell: Callable[[], dict]) -> web.Response:
    try:
        gate.admit(request, for_editor=True)
        return web.json_response(await asyncio.to_thread(tell))
    except Refused as refused:
        return web.json_response({"error": refused.message}, status=refused.status)


def _read(
    body: object, *, keys: tuple[str, ...], tell: Callable[..., dict[str, Any]]
) -> tuple[int, dict[str, Any]]:
    if not isinstance(body, dict) or keys[0] not in body:
        return 400, {"error": f"the body must be an object with {keys[0]!r}"}
    unknown = [str(key)[:40] for key in body if key not in keys]
    if unknown:
        return 400, {"error": f"unknown keys: {', '.join(unknown[:5])}"}
    for key, value in body.items():
        if not isinstance(value, str):
            return 400, {"error": f"{key} must be a text"}
    return 200, tell(**body)
