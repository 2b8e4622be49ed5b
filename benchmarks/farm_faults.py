"""Faults for `farm` and the tests: `kill -9` in the middle of a job, over stub ComfyUIs
(tests/cluster/stub), and what is left to see afterwards."""

import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ensemble.cluster.address import Address, settings
from ensemble.cluster.events import Event, Ready
from ensemble.cluster.inputs import Pictures
from ensemble.cluster.intake import Intake
from ensemble.cluster.ledger import Ledger
from ensemble.cluster.pool import RayPool, connect, disconnect
from ensemble.cluster.results import LEDGER, Results
from ensemble.cluster.rows import Row
from ensemble.cluster.run import Farm

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "tests" / "cluster" / "stub"
SETUP = {"python": sys.executable, "comfyui": str(STUB), "arguments": ["--cpu"], "stall": 60.0}
FAST = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
PATIENCE = 300.0  # seconds


def graph(number: int, **does: object) -> dict[str, Any]:
    return {
        "stub": {"class_type": "Stub", "inputs": {"n": number, **does}},
        "save": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}},
    }


def row(what: str, measured: float, bar: float, holds: bool) -> dict[str, Any]:
    return {"what": what, "measured": round(measured, 2), "bar": bar, "holds": bool(holds)}


def run_farm(
    pool: RayPool, graphs: list[dict[str, Any]], fault: Any = None
) -> tuple[Farm, float, list[Any]]:
    """The farm after its run, the seconds that took, and the ledger's rows. `fault` is called with the
    farm, on a thread."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        results = Results(out)
        ledger = Ledger(results.ledger)
        rows = (Row(number, each) for number, each in enumerate(graphs, 1))
        ledger.list_jobs(Intake(Pictures(out), out).jobs(rows))
        farm = Farm(
            ledger=ledger, results=results, pool=pool, pictures=Pictures(out), say=lambda line: None
        )
        if fault is not None:
            threading.Thread(target=fault, args=(farm,), daemon=True).start()
        began = time.monotonic()
        farm.run()
        seconds = time.monotonic() - began
        ledger.close()
        return farm, seconds, read_rows(out)


def read_rows(out: Path) -> list[Any]:
    db = sqlite3.connect(out / LEDGER)
    db.row_factory = sqlite3.Row
    rows = db.execute("SELECT * FROM jobs WHERE listed ORDER BY line").fetchall()
    db.close()
    return rows


class HeardPool(RayPool):
    """Notes when it heard of what."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.heard: list[tuple[float, Event]] = []
        super().__init__(*arguments, **more)

    def events(self, timeout: float) -> list[Event]:
        found = super().events(timeout)
        self.heard += [(time.monotonic(), each) for each in found]
        return found

    def when(self, worker: str, after: float, *kinds: type) -> tuple[float, Event]:
        """The first news of these kinds about it since then, waited for."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for at, event in self.heard:
                if at > after and event.worker == worker and (not kinds or type(event) in kinds):
                    return at, event
            self.events(0.05)
        raise TimeoutError(f"nothing of {worker} for {PATIENCE:.0f} s")


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """A head without a GPU and machines with one each, as raylets of this machine."""
    os.environ.update(settings(Address("127.0.0.1"), os.environ, Path.home()) | FAST)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**node, "num_gpus": 0})
    made.more = lambda: made.add_node(**node, num_gpus=1)
    try:
        for _ in range(nodes):
            made.more()
        yield made
    finally:
        made.shutdown()


def recovery(made: Any) -> list[dict[str, Any]]:
    """One job that would never end; what has it is killed. Over a cluster with a node to spare."""
    host, port = made.address.split(":")
    connect(Address(host, int(port)))
    found = []
    try:
        for what, bar in (("ComfyUI", 1.0), ("worker", 3.0), ("machine", 6.0)):
            pool = HeardPool(SETUP, 2)
            try:
                found += _recovery_of(what, bar, pool, made)
            finally:
                pool.close()
    finally:
        disconnect()
    return found


def _recovery_of(what: str, bar: float, pool: HeardPool, made: Any) -> list[dict[str, Any]]:
    killed: list[tuple[str, float]] = []
    for worker in pool.workers():  # both are up, so that the other one can have the job
        pool.when(worker, 0.0, Ready)

    def fault(farm: Farm) -> None:
        while not farm._running:
            time.sleep(0.02)
        time.sleep(1.0)
        (worker,) = farm._running
        actor = pool._actors[worker]
        home = pool._ray._private.state.actors(actor._actor_id.hex())["Address"]["NodeID"]
        pids = pool._ray.get(actor.ready.options(concurrency_group="control").remote())
        killed.append((worker, time.monotonic()))
        if what == "machine":
            node = next(each for each in made.list_all_nodes() if each.node_id == home)
            made.remove_node(node, allow_graceful=False)
        else:
            os.kill(pids["child" if what == "ComfyUI" else "pid"], signal.SIGKILL)

    for worker in pool.workers():
        pool.boot(worker)  # told again, each is ready at once for the farm
    with tempfile.TemporaryDirectory() as folder:
        once = graph(1, does="hang", once=str(Path(folder) / "once"))
        run_farm(pool, [once], fault)
    elsewhere = time.monotonic() - killed[0][1]
    worker, at = killed[0]
    known = pool.when(worker, at)[0] - at
    ready, event = pool.when(worker, at, Ready)
    assert isinstance(event, Ready)
    beyond = ready - at - event.boot
    rows = [row(f"{what} ready again beyond ComfyUI's boot, s", beyond, bar, beyond <= bar)]
    if what == "ComfyUI":
        rows.insert(0, row(f"death of a {what} known after, s", known, 1.0, known <= 1))
        rows.insert(
            1, row("its job done by another worker after, s", elsewhere, 2.0, elsewhere <= 2)
        )
    if what == "machine":
        made.more()
    return rows
