"""A farm over stub ComfyUIs (stub/main.py), and one Ray for the tests that need one."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.address import Address, settings
from ensemble_portraits.ensemble.cluster.inputs import Pictures
from ensemble_portraits.ensemble.cluster.intake import Intake
from ensemble_portraits.ensemble.cluster.ledger import Ledger
from ensemble_portraits.ensemble.cluster.pool import connect, disconnect
from ensemble_portraits.ensemble.cluster.results import Results
from ensemble_portraits.ensemble.cluster.rows import Row
from ensemble_portraits.ensemble.cluster.run import Farm

_LIMIT = 300.0  # seconds
FAST = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
STUB = Path(__file__).parent / "stub"


def stub_graph(**does: Any) -> dict[str, Any]:
    """See stub/main.py for what a graph may ask for."""
    return {
        "stub": {"class_type": "Stub", "inputs": does},
        "save": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}},
    }


def setup(*arguments: str, stall: float = 30.0) -> dict[str, Any]:
    """What a worker is given to run the stub."""
    return {
        "python": sys.executable,
        "comfyui": str(STUB),
        "arguments": ["--cpu", *arguments],
        "stall": stall,
    }


@dataclass
class Yard:
    """A ledger and a folder of one test; `run` drives them over a pool."""

    out: Path
    lines: list[str] = field(default_factory=list)

    def fill(self, values: list[Any]) -> None:
        with self.opened() as (ledger, results):
            intake = Intake(Pictures(self.out), self.out)
            ledger.list_jobs(intake.jobs(Row(n, value) for n, value in enumerate(values, 1)))
            ledger.adopt(results.done())

    def opened(self) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def both() -> Iterator[tuple[Ledger, Results]]:
            results = Results(self.out)
            ledger = Ledger(results.ledger)
            try:
                yield ledger, results
            finally:
                ledger.close()

        return both()

    def run(self, pool: Any, faults: Callable[[Farm], None] | None = None, **more: Any) -> Farm:
        with self.opened() as (ledger, results):
            farm = Farm(
                ledger=ledger, results=results, pool=pool, pictures=Pictures(self.out),
                say=self.lines.append, **more,
            )  # fmt: skip
            if faults is not None:
                faults(farm)
            # A test that would hang fails: its jobs are not done.
            limits = [threading.Timer(_LIMIT, farm.stop) for _ in range(2)]
            for each in limits:
                each.daemon = True
                each.start()
            try:
                farm.run()
            finally:
                for each in limits:
                    each.cancel()
            return farm

    def rows(self) -> list[Any]:
        with self.opened() as (ledger, _):
            return ledger._db.execute("SELECT * FROM jobs WHERE listed ORDER BY line").fetchall()

    def check_once(self, done: int) -> None:
        """Every output exactly once: a record a job, its pictures, and nothing beside them."""
        records = sorted((self.out / "records").glob("*"))
        named = [name for path in records for name in json.loads(path.read_text())["files"]]
        pictures = sorted(path.name for path in self.out.glob("*.png"))
        assert sorted(named) == pictures
        assert len(set(named)) == len(named)
        assert len(records) == done
        assert not list(self.out.rglob("*.part"))


def when(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    """Do something from the side, once."""

    def wait() -> None:
        while not condition():
            time.sleep(0.02)
        act()

    threading.Thread(target=wait, daemon=True).start()


def about(pool: Any, worker: str) -> dict[str, Any]:
    return pool._ray.get(pool._actors[worker].ready.remote())


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path / "out")


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and two nodes with a GPU each; this process is connected."""
    # They stay afterwards: Ray reads them once in a process, and `connect` refuses a Ray that was
    # loaded without what it wants.
    os.environ.update(FAST)
    os.environ.update(settings(Address("127.0.0.1"), os.environ, Path.home()))
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**node, "num_gpus": 1})
    try:
        for _ in range(2):
            made.add_node(**node, num_gpus=1)
        host, port = made.address.split(":")
        connect(Address(host, int(port)))
        yield made
    finally:
        disconnect()
        made.shutdown()
