"""The switched-on API: journal, queue, webhooks and routes put together."""

import logging
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import answers
from .config import SWITCH, Config, ConfigError, config_of_this_process
from .desk import Desk
from .hosted import register_hosted
from .jobs import Jobs
from .journal import Job, Journal, State
from .queue import ComfyQueue
from .run import register_run, run_answer
from .webhooks import Courier

if TYPE_CHECKING:
    from server import PromptServer

logger = logging.getLogger(__name__)


def register_api(server: "PromptServer") -> None:
    """Add the API's routes where the environment switches it on; else it does not exist."""
    import folder_paths

    path = Path(folder_paths.get_system_user_directory("ensemble"), "api.sqlite3")
    try:
        config = config_of_this_process()
        if config is None:
            return
        journal = Journal(path)
    except ConfigError as error:
        logger.error("the Ensemble API stays off: %s", error)
        return
    except (sqlite3.Error, OSError) as error:
        logger.error("the Ensemble API stays off: %s cannot be used: %s", path, error)
        return
    desk = make_desk(server, config, journal)
    register_hosted(server.routes, desk)
    register_run(server.routes, desk)
    server.app.on_startup.append(_starter(desk.jobs))
    server.app.on_cleanup.append(_stopper(desk.jobs))
    logger.info("the Ensemble API is on (%s); see docs/api.md", SWITCH)


def make_desk(server: "PromptServer", config: Config, journal: Journal) -> Desk:
    """The API over one ComfyUI server; `jobs.start()` has yet to be called."""
    import folder_paths

    courier = Courier(journal, config.webhook_hosts, lambda job: webhook_body(desk, job))
    jobs = Jobs(
        journal,
        ComfyQueue(server),
        courier,
        limit=config.queue,
        output=Path(folder_paths.get_output_directory()),
        inputs=Path(folder_paths.get_input_directory()),
    )
    desk = Desk(config, jobs)
    return desk


def webhook_body(desk: Desk, job: Job) -> dict[str, Any]:
    """As the answer to a submission that is done, with the client's track_id."""
    base = job.answer["base"]
    track = {"track_id": job.answer["track_id"]}
    if "report" in job.answer:
        return run_answer(job, answers.links(job, base), base) | track
    if job.state is State.FAILED:
        return answers.failed(job) | track
    return answers.success(job, desk.output_now(job, base)) | track


def _starter(jobs: Jobs) -> Any:
    async def start(_: web.Application) -> None:
        await jobs.start()

    return start


def _stopper(jobs: Jobs) -> Any:
    async def stop(_: web.Application) -> None:
        await jobs.stop()

    return stop
