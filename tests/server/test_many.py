"""The API's jobs over workers: its journal and answers are what they are without."""

import asyncio
import time
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import pytest
from ensemble_portraits.ensemble.cluster.dispatch import Able
from ensemble_portraits.ensemble.cluster.events import Answer, Lost, PoolLostError, Ready
from ensemble_portraits.ensemble.cluster.keys import prompt_id
from ensemble_portraits.ensemble.server.api import many
from ensemble_portraits.ensemble.server.api.config import ConfigError, read_config
from ensemble_portraits.ensemble.server.api.job import State
from ensemble_portraits.ensemble.server.api.many import worker_arguments
from PIL import Image

from tests.server.drafts import ended, job

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
ON = {"ENSEMBLE_API": "1"}


def png(color: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (4, 4), (color >> 16, color >> 8 & 255, color & 255)).save(buffer, "PNG")
    return buffer.getvalue()


class Pool:
    """Paints what the graph says. `script(task)` may say otherwise: a fault, a death, None for later."""

    script = staticmethod(lambda worker, task: {})
    had: ClassVar[dict[str, str]] = {}

    def __init__(self, setup, count, *, name):
        self.sent: list[tuple[str, str]] = []
        self.pending = [Ready(w, Able(None, 8), "host", 1.0) for w in sorted(self.workers())]
        Pool.last = self

    def workers(self):
        return frozenset({"gpu-1", "gpu-2"})

    def held(self):
        return self.had

    def boot(self, worker):
        self.pending.append(Ready(worker, Able(None, 8), "host", 1.0))

    def set_aside(self, worker):
        pass

    def cancel(self, worker, name):
        pass

    def close(self):
        pass

    def send(self, worker, key, task):
        self.sent.append((worker, task["prompt_id"]))
        said = self.script(worker, task)
        if isinstance(said, Exception):
            self.pending.append(said)
        elif isinstance(said, str):
            self.pending.append(Lost(worker, key, said))
            self.boot(worker)
        else:
            paint = task["spec"]["graph"]["paint"]["inputs"]
            files = [("x.png", png(paint["color"]))] * paint["batch_size"]
            done = {"files": files, "report": {}, "seconds": 1.5, "inside": 2.0}
            self.pending.append(Answer(worker, key, done | said))

    def events(self, timeout):
        if not self.pending:
            time.sleep(timeout)
            return []
        event = self.pending.pop(0)
        if isinstance(event, Exception):
            raise event
        return [event]


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    monkeypatch.setattr(many, "connect", lambda address, gpus: 2)
    monkeypatch.setattr(many, "disconnect", lambda: None)
    monkeypatch.setattr(many, "RayPool", Pool)
    monkeypatch.setattr(many, "RETRY", 0.05)
    monkeypatch.setattr(many, "machine", lambda: many.Machine(Path(), Path()))
    monkeypatch.setattr(Pool, "script", staticmethod(lambda worker, task: {}))
    monkeypatch.setattr(Pool, "had", {})
    return Pool


def pixels(service, found):
    paths = [service.jobs.picture_path(record) for record in found.outputs]
    return [Image.open(path).convert("RGB").getpixel((0, 0)) for path in paths]


def test_jobs_are_rendered_by_workers_and_answered_as_ever(talk):
    async def scenario(client, service):
        first, _ = await service.jobs.submit(job(color=0xFF0000), ())
        second, _ = await service.jobs.submit(job(color=0x0000FF, pictures=2), ())
        done = await ended(service, first.id), await ended(service, second.id)
        assert [each.state for each in done] == [State.DONE, State.DONE]
        assert pixels(service, done[0]) == [(255, 0, 0)]
        assert pixels(service, done[1]) == [(0, 0, 255)] * 2
        assert done[0].seconds == 1.5
        assert not list(service.jobs._output.rglob("*.part"))

    talk(scenario, cluster="local")


def test_a_nodes_error_is_the_answer_and_a_death_is_not(talk, monkeypatch):
    deaths = []

    def script(worker, task):
        color = task["spec"]["graph"]["paint"]["inputs"]["color"]
        if color == 1:
            return {"fault": "failed", "error": "KSampler: no"}
        if color == 2 and not deaths:
            deaths.append(worker)
            return "its worker died"
        return {}

    monkeypatch.setattr(Pool, "script", staticmethod(script))

    async def scenario(_, service):
        bad, _ = await service.jobs.submit(job(color=1), ())
        good, _ = await service.jobs.submit(job(color=2), ())
        assert (await ended(service, bad.id)).error == "KSampler: no"
        assert (await ended(service, good.id)).state is State.DONE
        tries = [worker for worker, _ in Pool.last.sent]
        assert len(tries) == 3 and len(deaths) == 1

    talk(scenario, cluster="local")


def test_ray_gone_and_a_full_disk_are_tried_again(talk, monkeypatch):
    broken = [PoolLostError("Ray has not answered for 30 s")]

    def script(worker, task):
        return broken.pop() if broken else {}

    monkeypatch.setattr(Pool, "script", staticmethod(script))
    publish, left = many.Book.publish, [1]

    def full(self, *arguments):
        if left:
            left.pop()
            raise OSError(28, "No space left on device")
        return publish(self, *arguments)

    monkeypatch.setattr(many.Book, "publish", full)

    async def scenario(_, service):
        made, _ = await service.jobs.submit(job(), ())
        assert (await ended(service, made.id)).state is State.DONE
        assert not broken and not left

    talk(scenario, cluster="local")


def test_restarts_are_no_jobs_fault_and_it_goes_to_the_worker_that_has_it(talk, monkeypatch):
    waiting = job()
    send = Pool.send
    monkeypatch.setattr(Pool, "send", lambda self, *arguments: None)

    async def before(_, service):
        await service.jobs.submit(waiting, ())
        for _ in range(100):
            if service.jobs._began:
                return
            await asyncio.sleep(0.02)

    async def later(_, service):
        await asyncio.sleep(0.5)

    talk(before, cluster="local")
    for _ in range(3):
        talk(later, cluster="local")
    monkeypatch.setattr(Pool, "send", send)
    monkeypatch.setattr(Pool, "had", {"gpu-2": prompt_id(waiting.prompt_id, 1)})

    async def after(_, service):
        assert (await ended(service, waiting.id)).state is State.DONE
        # To the one that has it, though the other was free before.
        assert Pool.last.sent == [("gpu-2", prompt_id(waiting.prompt_id, 1))]

    talk(after, cluster="local")


def test_what_the_environment_may_say(monkeypatch):
    found = read_config(
        ON | {"ENSEMBLE_API_CLUSTER": "local", "ENSEMBLE_API_CLUSTER_GPUS": "2"}, "::1"
    )
    assert found is not None
    assert (found.cluster, found.cluster_gpus) == ("local", 2)
    assert read_config(ON, "::1").cluster is None
    with monkeypatch.context() as patch:
        patch.setattr("ensemble_portraits.ensemble.server.api.config.find_spec", lambda name: None)
        with pytest.raises(ConfigError, match='ENSEMBLE_API_CLUSTER needs Ray: pip install "ray'):
            read_config(ON | {"ENSEMBLE_API_CLUSTER": "local"}, "::1")
    monkeypatch.setenv("HOME", "/nowhere")
    for word, reason in (("http://x", "is not an address"), ("10.0.0.5:6379", "without a token")):
        with pytest.raises(ConfigError, match=reason):
            read_config(ON | {"ENSEMBLE_API_CLUSTER": word}, "::1")


def test_a_workers_comfyui_has_what_this_one_has_but_its_folders_and_ports(tmp_path, monkeypatch):
    (tmp_path / "models.yaml").touch()
    monkeypatch.chdir(tmp_path)
    found = worker_arguments([
        "--listen", "--port", "8188", "--cpu", "--extra-model-paths-config", "models.yaml",
        "--output-directory=/o", "--whitelist-custom-nodes", "a", "b", "--user-directory", "/u",
        "--auto-launch", "--reserve-vram", "2",
    ])  # fmt: skip
    assert found == [
        "--extra-model-paths-config", str(tmp_path / "models.yaml"),
        "--whitelist-custom-nodes", "a", "b", "--reserve-vram", "2",
    ]  # fmt: skip


def test_workers_run_this_comfyui_whatever_its_base_directory_is(monkeypatch, tmp_path):
    import folder_paths

    monkeypatch.undo()  # of the fixture's own machine
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path))
    assert (many.machine().comfyui / "main.py").is_file()
