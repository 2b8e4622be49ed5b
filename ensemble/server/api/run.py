"""`POST /ensemble/v1/recipes/run`: what `compile` takes, queued; `GET …/jobs/<id>`: how it stands;
`GET /ensemble/generations/<name>`: a picture."""

import asyncio
import re
from typing import Any

from aiohttp import web

from ..access import check_near
from ..bodies import Refused
from ..editor.compile import REFUSALS, read_asked, read_request, refusal
from .answers import GENERATIONS, links
from .draft import Draft, draft
from .job import Job, State
from .jobs import JobIds
from .pictures import PictureError, take_data_urls
from .service import JobService, answer, answering

RUN = "/ensemble/v1/recipes/run"
JOBS = "/ensemble/v1/recipes/jobs"
_OWN = ("key", "id", "webhook", "track_id")
_NAME = re.compile(r"(\d{1,3})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.png")


def register_run(routes: web.RouteTableDef, service: JobService) -> None:
    async def run(request: web.Request) -> web.Response:
        body = await service.read(request)
        try:
            job, new = await _submit(service, request, body)
        except REFUSALS as error:
            status, refused = refusal(error)
            return answer(refused, status)
        return answer(await _state(service, job, service.base(request)), 202 if new else 200)

    async def jobs(request: web.Request) -> web.Response:
        service.admit_read(request)
        job = await service.find(request.match_info["id"])
        if job is None:
            raise Refused(404, "there is no such job")
        return answer(await _state(service, job, service.base(request)))

    async def generation(request: web.Request) -> web.StreamResponse:
        # Its name is as good as a key: it has 122 random bits, and only the client was told.
        check_near(request, service.gate)
        path = await asyncio.to_thread(_path, service, request.match_info["name"])
        if path is None:
            return answer(_error("there is no such picture, or not yet"), 404)
        headers = {"X-Content-Type-Options": "nosniff", "Content-Type": "image/png"}
        return web.FileResponse(path, headers=headers)

    routes.post(RUN)(answering(run, _error, unprocessed=400))
    routes.get(f"{JOBS}/{{id}}")(answering(jobs, _error, unprocessed=400))
    routes.get(f"{GENERATIONS}/{{name}}")(answering(generation, _error, unprocessed=400))


def _error(message: object, **extra: object) -> dict[str, Any]:
    return {"error": message, **extra}


async def _submit(
    service: JobService, request: web.Request, body: dict[str, Any]
) -> tuple[Job, bool]:
    def compiled(ids: JobIds) -> tuple[Draft, dict[str, Any]]:
        recipe = {name: value for name, value in body.items() if name not in _OWN}
        asked = read_request(recipe)
        try:
            text, uploads = take_data_urls(asked.text)
        except PictureError as error:
            raise Refused(400, f"a data URL {error}") from error
        reading = read_asked(asked, text)
        drafted = draft(reading, ids, uploads, service.config, asked.options, asked.shrink)
        return drafted, {"report": drafted.report, "warnings": list(drafted.warnings)}

    options = service.options(request, RUN, body, own_id=body.get("id"))
    return await service.submit(options, compiled)


async def _state(service: JobService, job: Job, base: str) -> dict[str, Any]:
    found = run_answer(job, links(job, base), base)
    if job.state is State.WAITING:
        found["eta"] = round(await service.jobs.eta(job), 3)
    return found


def run_answer(job: Job, output: list[str], base: str) -> dict[str, Any]:
    """`status` is processing, success or failed; `output` has links when it is success."""
    found: dict[str, Any] = {
        "id": job.id,
        "status": {State.WAITING: "processing", State.DONE: "success"}.get(job.state, "failed"),
        "fetch_result": f"{base}{JOBS}/{job.id}",
        "output": output if job.state is State.DONE else [],
        "future_links": output if job.state is State.WAITING else [],
        "report": job.answer.get("report") or job.answer.get("meta"),
        "warnings": job.answer["warnings"],
        "webhook_status": job.hook.value,
    }
    if job.state is State.FAILED:
        found["error"] = job.error
    if job.state is State.DONE:
        found["generationTime"] = job.seconds
    return found


def _path(service: JobService, name: str) -> Any:
    """The file of `<index>-<prompt id>.png`."""
    found = _NAME.fullmatch(name)
    job = service.jobs.store.by_prompt_id(found[2]) if found else None
    if found is None or job is None or int(found[1]) >= len(job.outputs):
        return None
    return service.jobs.picture_path(job.outputs[int(found[1])])
