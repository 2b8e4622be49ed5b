"""The hosted v4 dreambooth API: its paths, bodies and answers, with this machine behind them.

Problems of a body are told with HTTP 200 and `status: error`, as documented; what the guard refuses
has its HTTP status too.
"""

import asyncio
import json
from typing import Any

from aiohttp import web

from ..recipes.json_body import read_json
from ..recipes.library import MissingError
from ..recipes.problems import RecipeError
from ..recipes.readers import switch
from ..recipes.recipe import Task
from . import answers
from .desk import Desk, Terms, answer, answering
from .draft import CLAIM_HEADER, Draft, draft, read_claim, read_track_id, request_hash
from .guard import Refused
from .jobs import Ticket, new_ticket
from .journal import Job, State
from .pictures import PictureError, Upload, read_base64, read_data_url

V4 = "/ensemble/api/v4/dreambooth"
V3 = "/ensemble/api/v3/dreambooth"
TASKS = {V4: Task.TEXT, f"{V4}/img2img": Task.IMAGE, f"{V4}/inpaint": Task.INPAINT}
_PICTURES = ("init_image", "init_image_url", "mask_image")
_GONE = "the pictures of a temp request are removed after 24 hours"


def register_hosted(routes: web.RouteTableDef, desk: Desk) -> None:
    """Add the routes to ComfyUI's own."""

    async def fetch(request: web.Request) -> web.Response:
        body = await desk.read(request)
        return await _fetch(desk, request, body.get("request_id"))

    async def fetch_by_path(request: web.Request) -> web.Response:
        if request.method == "GET":
            desk.admit_read(request)
        else:
            await desk.read(request)
        return await _fetch(desk, request, request.match_info["id"])

    async def reload(request: web.Request) -> web.Response:
        return await _reload(await desk.read(request))

    for path, task in TASKS.items():
        routes.post(path)(_answering(_generator(desk, path, task)))
    routes.post(f"{V4}/fetch")(_answering(fetch))
    routes.post(f"{V3}/fetch/{{id}}")(_answering(fetch_by_path))
    routes.get(f"{V3}/fetch/{{id}}")(_answering(fetch_by_path))
    routes.post(f"{V4}/model_reload")(_answering(reload))


def _answering(handler: Any) -> Any:
    return answering(handler, answers.error, unprocessed=200)


def _generator(desk: Desk, path: str, task: Task) -> Any:
    async def generate(request: web.Request) -> web.Response:
        body = await desk.read(request)
        try:
            job = await _submit(desk, request, path, task, body)
        except RecipeError as error:
            return answer(answers.of_recipe(error))
        except MissingError as error:
            return answer(_missing(error))
        return answer(await _state(desk, job, desk.base(request)))

    return generate


async def _submit(
    desk: Desk, request: web.Request, path: str, task: Task, body: dict[str, Any]
) -> Job:
    track_id = read_track_id(body.get("track_id"))
    temporary, as_base64 = (_switch(body, name) for name in ("temp", "base64"))
    asked = request_hash(path, body)
    claim = read_claim(request.headers.get(CLAIM_HEADER), None)
    if claim is None and track_id is not None:
        # Clients use one track_id for many requests; the same request under it is a second try.
        claim = f"track:{json.dumps(track_id)}:{asked}"
    terms = Terms(claim, asked, desk.webhook(body.get("webhook")), temporary)
    if (known := await desk.known(terms)) is not None:
        return known
    await desk.check_room()
    ticket = new_ticket()
    drafted = await asyncio.to_thread(
        _draft, body, task, ticket, as_base64, desk.config.skip_missing
    )
    meta = answers.meta(
        drafted.recipe, temporary=temporary, base64=as_base64, file=f"{ticket.prompt_id}.png"
    )
    kept = {
        "meta": meta,
        "base": desk.base(request),
        "base64": as_base64,
        "track_id": track_id,
        "warnings": [*drafted.warnings, *drafted.report["left_out"]],
    }
    job, _ = await desk.accept(drafted, ticket, terms, kept)
    return job


def _draft(
    body: dict[str, Any], task: Task, ticket: Ticket, as_base64: bool, skip_missing: bool
) -> Draft:
    body, uploads = _take_pictures(body, as_base64)
    text = json.dumps(body)
    return draft(lambda: read_json(text, task=task), ticket, uploads, skip_missing=skip_missing)


def _take_pictures(
    body: dict[str, Any], as_base64: bool
) -> tuple[dict[str, Any], tuple[Upload, ...]]:
    """The body with names for the pictures that came in it. Raises Refused."""
    found: dict[str, Upload] = {}
    for field in _PICTURES:
        value = body.get(field)
        if not isinstance(value, str):
            continue
        value = value.strip()
        try:
            if value[:11].lower() == "data:image/":
                found[field] = read_data_url(value)
            elif as_base64 and len(value) > 255 and not value.startswith(("http://", "https://")):
                # With base64=yes pictures come without the head of a data URL; no name is as long.
                found[field] = read_base64(value)
        except PictureError as error:
            raise Refused(200, {field: [f"The {field} {error}."]}) from error
    names = {field: upload.name for field, upload in found.items()}
    return {**body, **names}, tuple(found.values())


async def _state(desk: Desk, job: Job, base: str) -> dict[str, Any]:
    """The answer to a submission, also to one whose id is known and done."""
    if job.state is State.WAITING:
        return answers.processing(job, base, await desk.jobs.eta(job))
    if job.state is State.FAILED:
        return answers.failed(job)
    return answers.success(job, await desk.output(job, base))


async def _fetch(desk: Desk, request: web.Request, number: object) -> web.Response:
    job = await desk.find(number)
    if job is None:
        return answer(answers.error("Request id not found", id=""))
    if job.state is State.DONE and job.temporary and not job.outputs:
        return answer(answers.error(_GONE, id=job.id))
    base = desk.base(request)
    eta = await desk.jobs.eta(job) if job.state is State.WAITING else 0.0
    return answer(answers.fetched(job, await desk.output(job, base), eta))


async def _reload(body: dict[str, Any]) -> web.Response:
    """Models are loaded when they are needed; what can be told is whether this one is here."""
    from .library import this_machine

    model = body.get("model_id")
    if not isinstance(model, str) or not model:
        return answer(answers.error({"model_id": ["The model id field is required."]}))
    machine = await asyncio.to_thread(this_machine)
    try:
        await asyncio.to_thread(machine.find, model, "checkpoints")
    except ValueError as error:
        return answer(answers.error("Model id not found", tip=str(error)))
    message = "Model is here and will be loaded by its next request"
    return answer({"status": "success", "message": message, "messege": message})


def _missing(error: MissingError) -> dict[str, Any]:
    """Documented for a checkpoint; other names are told by their field."""
    hints = "; ".join(each.hint for each in error.missing)
    if any(each.kind == "checkpoints" for each in error.missing):
        return answers.error("Model id not found", tip=hints)
    message: dict[str, list[str]] = {}
    for each in error.missing:
        message.setdefault(each.setting, []).append(each.hint)
    return answers.error(message)


def _switch(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None or value == "":
        return False
    try:
        return switch(value)
    except ValueError as error:
        raise Refused(200, {name: [f"The {name} {error}."]}) from error
