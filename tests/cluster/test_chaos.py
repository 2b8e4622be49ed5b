"""The command `farm` over stub ComfyUIs while everything dies, in turn and together, or hangs."""

import os
import signal
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from ensemble_portraits.ensemble.cluster.pool import RayPool

from dev.cache import ROOT

from .conftest import Yard, about, setup, stub_graph, when

sys.path.append(str(ROOT / "benchmarks"))

from farm_chaos import LOCAL, MACHINES, Chaos

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux alone"),
]
JOBS = 200


def test_every_output_once_on_one_machine(tmp_path: Path):
    run = Chaos(tmp_path, JOBS)
    run.run(LOCAL)
    assert run.once(), run.log()
    assert run.again == 0


def test_every_output_once_on_three_machines(tmp_path: Path, cluster: Any):
    cluster.more = lambda: cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=80 * 2**20)
    run = Chaos(tmp_path, JOBS, cluster)
    run.run(MACHINES)
    assert run.once(), run.log()
    assert run.again == 0


def test_a_ray_that_is_stopped_under_its_driver_ends_the_run_with_a_line(tmp_path: Path):
    run = Chaos(tmp_path, 500)
    driver = run.start()
    try:
        run.wait(driver, 4)
        for each in psutil.Process(driver.pid).children():
            if {"gcs_server", "raylet"} & {Path(part).name for part in each.cmdline()[:1]}:
                each.kill()
        assert driver.wait(timeout=120) == 4
        assert "farm: Ray has not answered for 30 s; is it still running?" in run.log()
    finally:
        driver.kill()


def test_a_machine_that_hangs_is_found_dead_and_its_jobs_are_done_elsewhere(
    yard: Yard, cluster: Any
):
    pool = RayPool(setup(), 2)
    yard.fill([stub_graph(n=n, seconds=0.3) for n in range(60)])
    homes = {}
    for worker in pool.workers():
        about(pool, worker)
        state = pool._ray._private.state.actors(pool._actors[worker]._actor_id.hex())
        homes[state["Address"]["NodeID"]] = worker
    node = next(n for n in cluster.list_all_nodes() if n.node_id in homes and not n.is_head())
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    hung = [raylet, *raylet.children(recursive=True)]
    done = yard.out / "records"

    def hang() -> None:
        for each in hung:
            os.kill(each.pid, signal.SIGSTOP)

    when(lambda: len(list(done.glob("*.json"))) >= 6, hang)
    try:
        began = time.monotonic()
        assert yard.run(pool).tally.done == 60
        assert time.monotonic() - began < 90
        assert any("was lost under line" in line for line in yard.lines)
        yard.check_once(60)
    finally:
        for each in hung:
            each.kill()
        pool.close()
