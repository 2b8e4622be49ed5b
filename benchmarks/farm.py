"""A farm against its bars: what it costs, how it recovers, what it loses (nothing) when things die.

    python dev bench farm [--quick] [--json FILE]

ComfyUIs are stubs that answer at once or sleep (tests/cluster/stub), so that the machinery is measured
and not the pictures. Faults are `kill -9` in the middle of a job.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

sys.path.append(str(Path(__file__).parent.parent))
import engine
from farm_chaos import LOCAL, MACHINES, Chaos
from farm_faults import FAST, ROOT, SETUP, cluster, graph, recovery, row, run_farm
from farm_simulation import make_jobs, simulate

from ensemble.cluster.address import Address
from ensemble.cluster.pool import RayPool, connect, disconnect
from ensemble.cluster.results import RECORDS

CONSTRAINTS = ROOT / "dev" / "constraints.txt"


class Sleeper:
    """A worker without a ComfyUI."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.seconds = setup["seconds"]

    def ready(self) -> dict[str, Any]:
        return {"host": "here", "boot": 0.0, "memory": 0, "files": []}

    def render(self, task: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        time.sleep(self.seconds)
        inside = time.monotonic() - began
        files = [("x.png", b"x" * 90_000)]
        return {"files": files, "report": {}, "seconds": inside, "inside": inside, "host": "here"}

    def progress(self) -> dict[str, Any]:
        return {}

    def stop(self) -> None:
        pass


@contextmanager
def sleepers(count: int, seconds: float) -> Iterator[RayPool]:
    """Workers that are up."""
    pool = RayPool({"seconds": seconds}, count, worker=Sleeper)
    try:
        run_farm(pool, [graph(number) for number in range(4 * count)])
        # Each is up by now; told again, it is ready at once for the next run.
        for worker in pool.workers():
            pool.boot(worker)
        yield pool
    finally:
        pool.close()


def costs(quick: bool) -> list[dict[str, Any]]:
    jobs = 100 if quick else 1000
    with sleepers(2, 0.0) as pool:
        farm, seconds, _ = run_farm(pool, [graph(number) for number in range(jobs)])
    overhead = 1000 * statistics.median(farm.tally.overheads)
    rows = [
        row("overhead a job, median, ms", overhead, 10.0, overhead <= 10),
        row("jobs a second with ledger and results", jobs / seconds, 200.0, jobs / seconds >= 200),
    ]
    count, each = 16, 4 if quick else 24
    with sleepers(count, 0.5) as pool:
        _, seconds, _ = run_farm(pool, [graph(number) for number in range(count * each)])
    efficiency = 100 * each * 0.5 / seconds
    return [
        *rows,
        row("efficiency of 16 workers, jobs of 0.5 s, %", efficiency, 95.0, efficiency >= 95),
    ]


def blame() -> list[dict[str, Any]]:
    """A graph that ComfyUI refuses and one that ends its worker, among good ones."""
    bad = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
    pool = RayPool(SETUP, 2)
    try:
        _, _, rows = run_farm(pool, [*map(graph, range(20)), bad, graph(20, does="die")])
    finally:
        pool.close()
    done = sum(each["state"] == "done" for each in rows)
    refused, killer = rows[20]["attempts"], rows[21]["attempts"]
    return [
        row("tries of a bad graph", refused, 1, refused == 1 and done == 20),
        row("deaths by a job that kills its worker", killer, 3, killer == 3 and done == 20),
    ]


def chaos(jobs: int) -> list[dict[str, Any]]:
    """On this machine's own Ray, then on a cluster whose machines die too."""
    found = []
    with tempfile.TemporaryDirectory() as folder, cluster(3) as made:
        for place, (plan, where) in {
            "one machine": (LOCAL, None),
            "three": (MACHINES, made),
        }.items():
            run = Chaos(Path(folder) / place, jobs, where)
            run.run(plan)
            records, once = len(list((run.out / RECORDS).glob("*.json"))), run.once()
            what = f"outputs exactly once under {run.kills} kills, {place}"
            found.append(row(what, records, jobs, once))
            found.append(row("published and rendered again", run.again, 0, not run.again))
    return found


def packages() -> list[dict[str, Any]]:
    """Packages that ComfyUI brings (dev/constraints.txt) in versions that Ray would not have."""
    lines = [line.split(";") for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines()]
    pins = [Requirement(";".join(line)) for line in lines if "==" in line[0]]
    here = {canonicalize_name(e.name): e for e in pins if not e.marker or e.marker.evaluate()}
    moved, seen, queue = [], set(), ["ray"]
    while queue:
        name = queue.pop()
        for text in distribution(name).requires or ():
            asked = Requirement(text)
            key = canonicalize_name(asked.name)
            if key in seen or (asked.marker and not asked.marker.evaluate({"extra": ""})):
                continue
            seen.add(key)
            queue.append(key)
            pin = here.get(key)
            if pin and not asked.specifier.contains(next(iter(pin.specifier)).version):
                moved.append(text)
    new = sorted({"ray", *seen} - here.keys())
    print(f"Ray brings {len(new)} packages: {', '.join(new)}")
    return [row("packages of ComfyUI's environment that Ray moves", len(moved), 0, not moved)]


def simulated() -> list[dict[str, Any]]:
    jobs = make_jobs(10_000, 20)
    at_64, at_256 = simulate(jobs, 64), simulate(jobs, 256)
    efficiency = 100 * at_256.efficiency
    return [
        row(
            "loads of 10,000 jobs, 20 checkpoints, 64 GPUs",
            at_64.reloads,
            168,
            at_64.reloads <= 168,
        ),
        row("loads at 256 GPUs", at_256.reloads, 552, at_256.reloads <= 552),
        row("efficiency at 256 GPUs, %", efficiency, 90.0, efficiency >= 90),
    ]


def main(argv: list[str] | None = None) -> int:
    parser = engine.options(__doc__, "fewer jobs")
    parser.add_argument("--costs", action="store_true", help="what a job costs, and no faults")
    arguments = parser.parse_args(argv)
    before = _load()
    rows = simulated() + packages()
    os.environ.update(FAST)
    connect(Address(), gpus=16)
    try:
        rows += costs(arguments.quick) + ([] if arguments.costs else blame())
    finally:
        disconnect()
    if not arguments.costs:
        with cluster(3) as made:
            rows += recovery(made)
        rows += chaos(40 if arguments.quick else 200)
    print(f"load of this machine: {before:.1f} before, {_load():.1f} at the end")
    engine.report(rows, ["what", "measured", "bar", "holds"], arguments.json)
    return int(not all(each["holds"] for each in rows))


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


if __name__ == "__main__":
    sys.exit(main())
