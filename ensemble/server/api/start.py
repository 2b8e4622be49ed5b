"""The switched-on API: store, queue, webhooks and routes put together."""

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import folder_paths

from . import answers
from .config import SWITCH, Config, ConfigError, config_of_this_process
from .hosted import register_hosted
from .job import Job, State
from .jobs import Jobs
from .many import ManyQueue
from .queue import ComfyQueue
from .run import register_run, run_answer
from .service import JobService
from .store import JobStore
from .webhooks import WebhookSender

if TYPE_CHECKING:
    from server import PromptServer

logger = logging.getLogger(__name__)


def register_api(server: "PromptServer") -> bool:
    """Add the API's routes where the environment switches it on; else it does not exist. Whether it
    does."""
    path = Path(folder_paths.get_system_user_directory("ensemble"), "api.sqlite3")
    try:
        config = config_of_this_process()
        if config is None:
            return False
        store = JobStore(path)
    except ConfigError as error:
        logger.error("the Ensemble API stays off: %s", error)
        return False
    except (sqlite3.Error, OSError) as error:
        logger.error("the Ensemble API stays off: %s cannot be used: %s", path, error)
        return False
    queue = make_queue(server, config)
    service = make_service(config, store, queue)
    register_hosted(server.routes, service)
    register_run(server.routes, service)
    server.app.on_startup.append(lambda _: service.jobs.start())
    server.app.on_cleanup.append(lambda _: service.jobs.stop())
    if isinstance(queue, ManyQueue):
        queue.start()
        server.app.on_cleanup.append(lambda _: asyncio.to_thread(queue.close))
    logger.info("the Ensemble API is on (%s); see docs/api.md", SWITCH)
    return True


def make_queue(server: "PromptServer", config: Config) -> ComfyQueue | ManyQueue:
    """This ComfyUI's own, or workers'."""
    if config.cluster is None:
        return ComfyQueue(server)
    inputs, output = folder_paths.get_input_directory(), folder_paths.get_output_directory()
    return ManyQueue(server, config.cluster, config.cluster_gpus, Path(inputs), Path(output))


def make_service(config: Config, store: JobStore, queue: ComfyQueue | ManyQueue) -> JobService:
    """The API over one queue; `jobs.start()` has yet to be called."""
    sender = WebhookSender(store, config.webhook_hosts, lambda job: webhook_body(service, job))
    service = JobService(config, Jobs(store, queue, sender, limit=config.queue))
    return service


def webhook_body(service: JobService, job: Job) -> dict[str, Any]:
    """The answer to a submission that is done, with the client's track_id."""
    base = job.answer["base"]
    track = {"track_id": job.answer["track_id"]}
    if "report" in job.answer:
        return run_answer(job, answers.links(job, base), base) | track
    if job.state is State.FAILED:
        return answers.failed(job) | track
    return answers.success(job, service.output_now(job, base)) | track
