"""The farm over Ray on this machine, with stub ComfyUIs that fail on demand."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from ensemble_portraits.ensemble.cluster import pool as pool_module
from ensemble_portraits.ensemble.cluster.address import Address
from ensemble_portraits.ensemble.cluster.events import StoppedError
from ensemble_portraits.ensemble.cluster.pool import RayPool, connect, disconnect

from .conftest import Yard, about, setup, stub_graph, when

# Not imported here: its settings are read when it is.
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="faults are POSIX signals"),
]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[int]:
    yield connect(Address(), gpus=2)
    disconnect()


@pytest.fixture
def pool(local_ray: int, request: pytest.FixtureRequest) -> Iterator[RayPool]:
    made = RayPool(setup(stall=getattr(request, "param", 30.0)), local_ray)
    yield made
    made.close()


def test_every_ray_process_listens_on_the_loopback_alone(local_ray: int):
    import psutil

    mine = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = [
        each.laddr.ip
        for process in mine
        for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    ]
    assert found
    assert set(found) <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_good_bad_and_poisonous_jobs(yard: Yard, pool: RayPool):
    yard.fill([
        *(stub_graph(n=n, seconds=0.02) for n in range(10)),
        "a man",
        "an unknown person",
        stub_graph(does="fail"),
        stub_graph(does="oom"),
        stub_graph(does="die"),
        {"graph": {"1": {"class_type": "NoSuchNode", "inputs": {}}}},
    ])  # fmt: skip
    farm = yard.run(pool)
    rows = yard.rows()
    tries = [(row["state"], row["attempts"]) for row in rows[10:]]
    assert tries == [
        ("done", 1), ("failed", 1), ("failed", 1), ("failed", 2), ("failed", 3), ("failed", 1),
    ]  # fmt: skip
    assert "no file x" in rows[11]["error"]
    assert "Stub: the node raises" in rows[12]["error"]
    assert "ComfyUI ended with code 7" in rows[14]["error"]
    assert farm.tally.deaths == 3
    yard.check_once(11)


def test_comfyui_and_then_its_worker_are_killed(yard: Yard, pool: RayPool):
    yard.fill([stub_graph(n=n, seconds=0.1) for n in range(24)])
    pids = {worker: about(pool, worker) for worker in pool.workers()}
    done = yard.out / "records"
    when(lambda: len(list(done.glob("*.json"))) >= 4,
         lambda: os.kill(pids["gpu-1"]["child"], signal.SIGKILL))  # fmt: skip
    when(lambda: len(list(done.glob("*.json"))) >= 10,
         lambda: os.kill(pids["gpu-2"]["pid"], signal.SIGKILL))  # fmt: skip
    farm = yard.run(pool)
    assert farm.tally.done == 24
    assert 1 <= farm.tally.deaths <= 2  # a child may be killed between two jobs
    yard.check_once(24)


@pytest.mark.parametrize("pool", [3.0], indirect=True)
def test_a_graph_without_a_word_is_ended_and_tried_elsewhere(yard: Yard, pool: RayPool, tmp_path):
    once = str(tmp_path / "once")
    yard.fill([stub_graph(does="mute", once=once), stub_graph(n=1)])
    farm = yard.run(pool)
    assert farm.tally.done == 2
    assert any("ComfyUI said nothing for" in line for line in yard.lines)


@pytest.mark.slow
def test_a_child_that_is_stopped(yard: Yard, local_ray: int):
    pool = RayPool(setup(stall=2.0), local_ray)
    try:
        yard.fill([stub_graph(n=n, seconds=0.05) for n in range(8)])
        child = about(pool, "gpu-1")["child"]
        done = yard.out / "records"
        when(lambda: len(list(done.glob("*.json"))) >= 2, lambda: os.kill(child, signal.SIGSTOP))
        assert yard.run(pool).tally.done == 8
        yard.check_once(8)
    finally:
        pool.close()


@pytest.mark.slow
def test_a_worker_that_is_stopped_is_ended(yard: Yard, pool: RayPool, monkeypatch):
    monkeypatch.setattr(pool_module, "BEAT", 0.5)
    monkeypatch.setattr(pool_module, "SILENCE", 2.0)
    yard.fill([stub_graph(n=n, seconds=0.2) for n in range(10)])
    worker = about(pool, "gpu-1")["pid"]
    done = yard.out / "records"
    when(lambda: len(list(done.glob("*.json"))) >= 2, lambda: os.kill(worker, signal.SIGSTOP))
    assert yard.run(pool).tally.done == 10
    assert any("no sign of life" in line for line in yard.lines)
    yard.check_once(10)


class Broken:
    """A worker whose Python lacks something."""

    def __init__(self, setup: object) -> None:
        raise ModuleNotFoundError("No module named 'ensemble'")

    def ready(self) -> None: ...


def test_workers_that_cannot_be_made_end_the_run_with_the_reason(yard: Yard, local_ray: int):
    pool = RayPool(setup(), local_ray, worker=Broken)
    yard.fill([stub_graph(n=1)])
    with pytest.raises(StoppedError, match="every worker has been set aside"):
        yard.run(pool)
    assert sum("No module named 'ensemble" in line for line in yard.lines) >= 4
    pool.close()


def test_cancel_ends_what_runs(yard: Yard, pool: RayPool):
    yard.fill([stub_graph(n=n, seconds=60) for n in range(2)])
    for worker in pool.workers():
        about(pool, worker)

    def faults(farm):
        when(lambda: len(farm._running) == 2, farm.stop)
        when(lambda: farm._stop.is_set(), farm.stop)

    began = time.monotonic()
    yard.run(pool, faults)
    assert time.monotonic() - began < 30
    assert [row["state"] for row in yard.rows()] == ["waiting", "waiting"]


def test_workers_leave_nothing_behind(local_ray: int):
    pool = RayPool(setup(), 1)
    found = about(pool, "gpu-1")
    pool.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _lives(found["child"]):
        time.sleep(0.05)
    assert not _lives(found["child"])


def _lives(pid: int) -> bool:
    import psutil

    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
