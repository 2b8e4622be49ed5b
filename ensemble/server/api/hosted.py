"""The hosted v4 dreambooth API: its paths, bodies and answers, with this machine behind them.

Problems of a body are told with HTTP 200 and `status: error`, as documented; what `access` refuses
has its HTTP status too.
"""

import asyncio
import json
from functools import partial
from typing import Any

from aiohttp import web

from ...recipes.choose_model import choose_model
from ...recipes.json_body import read_json
from ...recipes.library import MissingError
from ...recipes.problems import RecipeError
from ...recipes.readers import switch
from ...recipes.recipe import Task
from ..bodies import Refused
from . import answers
from .draft import Draft, draft
from .job import Job, State
from .jobs import JobIds
from .pictures import PictureError, Upload, read_base64, read_data_url
from .service import JobService, answer, answering

V4 = "/ensemble/api/v4/dreambooth"
V3 = "/ensemble/api/v3/dreambooth"
TASKS = {V4: Task.TEXT, f"{V4}/img2img": Task.IMAGE, f"{V4}/inpaint": Task.INPAINT}
_PICTURES = ("init_image", "init_image_url", "mask_image")
_GONE = "the pictures of a temp request are removed after 24 hours"


def register_hosted(routes: web.RouteTableDef, service: JobService) -> None:
    async def fetch(request: web.Request) -> web.Response:
        body = await service.read(request)
        return await _fetch(service, request, body.get("request_id"))

    async def fetch_by_path(request: web.Request) -> web.Response:
        if request.method == "GET":
            service.admit_read(request)
        else:
            await service.read(request)
        return await _fetch(service, request, request.match_info["id"])

    async def reload(request: web.Request) -> web.Response:
        return await _reload(await service.read(request))

    for path, task in TASKS.items():
        routes.post(path)(_answering(_generator(service, path, task)))
    routes.post(f"{V4}/fetch")(_answering(fetch))
    routes.post(f"{V3}/fetch/{{id}}")(_answering(fetch_by_path))
    routes.get(f"{V3}/fetch/{{id}}")(_answering(fetch_by_path))
    routes.post(f"{V4}/model_reload")(_answering(reload))


_answering = partial(answering, shape=answers.error, unprocessed=200)


def _generator(service: JobService, path: str, task: Task) -> Any:
    async def generate(request: web.Request) -> web.Response:
        body = await service.read(request)
        try:
            job = await _submit(service, request, path, task, body)
        except RecipeError as error:
            return answer(answers.of_recipe(error))
        except MissingError as error:
            return answer(answers.of_missing(error))
        return answer(await _state(service, job, service.base(request)))

    return generate


async def _submit(
    service: JobService, request: web.Request, path: str, task: Task, body: dict[str, Any]
) -> Job:
    temporary, as_base64 = (_switch(body, name) for name in ("temp", "base64"))

    def compiled(ids: JobIds) -> tuple[Draft, dict[str, Any]]:
        named, uploads = _take_pictures(body, as_base64)
        lenient = service.config.unknown_fields
        reading = read_json(json.dumps(named), task=task, unknown_fields=lenient)
        drafted = draft(reading, ids, uploads, service.config)
        file = f"{ids.prompt_id}.png"
        meta = answers.meta(drafted.recipe, temporary=temporary, base64=as_base64, file=file)
        warnings = [*drafted.warnings, *drafted.report["left_out"]]
        return drafted, {"meta": meta, "base64": as_base64, "warnings": warnings}

    options = service.options(request, path, body, track_is_key=True, temporary=temporary)
    return (await service.submit(options, compiled))[0]


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


async def _state(service: JobService, job: Job, base: str) -> dict[str, Any]:
    """The answer to a submission, also to one whose id is known and done."""
    if job.state is State.WAITING:
        return answers.processing(job, base, await service.jobs.eta(job))
    if job.state is State.FAILED:
        return answers.failed(job)
    return answers.success(job, await service.output(job, base))


async def _fetch(service: JobService, request: web.Request, number: object) -> web.Response:
    job = await service.find(number)
    if job is None:
        return answer(answers.error("Request id not found", id=""))
    if job.state is State.DONE and job.temporary and not job.outputs:
        return answer(answers.error(_GONE, id=job.id))
    base = service.base(request)
    eta = await service.jobs.eta(job) if job.state is State.WAITING else 0.0
    return answer(answers.fetched(job, await service.output(job, base), eta))


async def _reload(body: dict[str, Any]) -> web.Response:
    """Says whether a model is here. Nothing is reloaded: models are loaded when they are needed."""
    from ..library import this_machine

    model = body.get("model_id")
    if not isinstance(model, str) or not model:
        return answer(answers.error({"model_id": ["The model id field is required."]}))
    machine = await asyncio.to_thread(this_machine)
    try:
        if not (await asyncio.to_thread(choose_model, model, machine)).file:
            machine.find(model, "checkpoints")
    except ValueError as error:
        return answer(answers.error("Model id not found", tip=str(error)))
    message = "Model is here and will be loaded by its next request"
    return answer({"status": "success", **answers.message_of(message)})


def _switch(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is None or value == "":
        return False
    try:
        return switch(value)
    except ValueError as error:
        raise Refused(200, {name: [f"The {name} {error}."]}) from error
