"""The API over a real PromptServer and its queue, with folders of its own."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from threading import Thread

import folder_paths
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ensemble_portraits.ensemble.server.api.config import Config
from ensemble_portraits.ensemble.server.api.hosted import register_hosted
from ensemble_portraits.ensemble.server.api.many import ManyQueue
from ensemble_portraits.ensemble.server.api.run import register_run
from ensemble_portraits.ensemble.server.api.service import JobService
from ensemble_portraits.ensemble.server.api.start import make_queue, make_service
from ensemble_portraits.ensemble.server.api.store import JobStore
from safetensors.torch import save_file

Scenario = Callable[[TestClient, JobService], Awaitable[None]]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """ComfyUI's input and output folders below a folder of the test."""
    before = folder_paths.get_input_directory(), folder_paths.get_output_directory()
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    folder_paths.set_input_directory(str(tmp_path / "input"))
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield tmp_path
    folder_paths.set_input_directory(before[0])
    folder_paths.set_output_directory(before[1])


@pytest.fixture
def talk(home: Path) -> Callable[..., None]:
    """`talk(scenario, worker=True, key=...)`: the scenario beside a started API; again for a restart.

    `worker` is ComfyUI's own executor on its own thread, as main.py runs it.
    """

    def run(scenario: Scenario, *, worker: bool = False, **settings: object) -> None:
        asyncio.run(_talk(home, scenario, Config(**settings), worker))

    return run


async def _talk(home: Path, scenario: Scenario, config: Config, worker: bool) -> None:
    import server as comfy

    prompt_server = comfy.PromptServer(asyncio.get_running_loop())
    queue = make_queue(prompt_server, config)
    service = make_service(config, JobStore(home / "api.sqlite3"), queue)
    routes = web.RouteTableDef()
    register_hosted(routes, service)
    register_run(routes, service)
    app = web.Application(client_max_size=100 * 2**20)
    app.add_routes(routes)
    thread = Thread(target=_work, args=(prompt_server,), daemon=True)
    if worker:
        thread.start()
    await service.jobs.start()
    if isinstance(queue, ManyQueue):
        queue.start()
    try:
        async with TestClient(TestServer(app)) as client:
            await scenario(client, service)
    finally:
        await service.jobs.stop()
        if isinstance(queue, ManyQueue):
            await asyncio.to_thread(queue.close)
        if worker:
            prompt_server.prompt_queue.put((1e9, "end", None, {}, [], {}))
            await asyncio.to_thread(thread.join)


def _work(prompt_server) -> None:
    """What ComfyUI's prompt_worker does with each item."""
    import execution

    queue = prompt_server.prompt_queue
    memory = {"lru": 0, "ram": 1.0, "ram_inactive": 1.0}
    executor = execution.PromptExecutor(prompt_server, execution.CacheType.CLASSIC, memory)
    while True:
        item, item_id = queue.get()
        if item[2] is None:
            return
        executor.execute(item[2], item[1], item[3], item[4])
        status = queue.ExecutionStatus(
            "success" if executor.success else "error", executor.success, executor.status_messages
        )
        queue.task_done(item_id, executor.history_result, status=status)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Only the LoRAs that the test saves, and no aliases but its own."""
    folder, user = tmp_path / "loras", tmp_path / "user"
    (user / "default" / "ensemble").mkdir(parents=True)
    folder.mkdir()
    before = folder_paths.folder_names_and_paths["loras"]
    home = folder_paths.get_user_directory()
    folder_paths.folder_names_and_paths["loras"] = ([str(folder)], before[1])
    folder_paths.set_user_directory(str(user))

    def save(name: str, **metadata: str) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"layer.lora_down.weight": torch.ones(2, 3)}, path, metadata)
        # ComfyUI lists a folder again when its time changes; file systems count in milliseconds.
        os.utime(path.parent, ns=(1, len(list(path.parent.iterdir())) * 10**9))
        return path

    yield save
    folder_paths.folder_names_and_paths["loras"] = before
    folder_paths.set_user_directory(home)
