"""A farm against its bars: what it costs, how it recovers, what it loses (nothing) when things die.

    python dev bench farm [--quick] [--json FILE]

ComfyUIs are stubs that answer at once or sleep (tests/cluster/stub), so that the machinery is measured
and not the pictures. Faults are `kill -9` in the middle of a job.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.append(str(Path(__file__).parent.parent))
import engine
from farm_simulation import make_jobs, simulate

from ensemble.cluster.address import Address
from ensemble.cluster.events import Answer, Lost, Ready
from ensemble.cluster.inputs import Pictures
from ensemble.cluster.intake import Intake
from ensemble.cluster.ledger import Ledger
from ensemble.cluster.pool import RayPool, connect, disconnect
from ensemble.cluster.results import LEDGER, Results
from ensemble.cluster.rows import Row
from ensemble.cluster.run import Farm

ROOT = Path(__file__).parent.parent
STUB = ROOT / "tests" / "cluster" / "stub"
SETUP = {"python": sys.executable, "comfyui": str(STUB), "arguments": ["--cpu"], "stall": 60.0}


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


def graph(number: int, **does: object) -> dict[str, Any]:
    return {
        "stub": {"class_type": "Stub", "inputs": {"n": number, **does}},
        "save": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}},
    }


def run_farm(pool: RayPool, graphs: list[dict[str, Any]]) -> tuple[Farm, float]:
    """The farm after its run, and the seconds from its first job to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        results = Results(out)
        ledger = Ledger(results.ledger)
        rows = (Row(number, each) for number, each in enumerate(graphs, 1))
        ledger.list_jobs(Intake(Pictures(out), out).jobs(rows))
        farm = Farm(
            ledger=ledger, results=results, pool=pool, pictures=Pictures(out), say=lambda line: None
        )
        began = time.monotonic()
        farm.run()
        seconds = time.monotonic() - began
        ledger.close()
    return farm, seconds


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
        farm, seconds = run_farm(pool, [graph(number) for number in range(jobs)])
    overhead = 1000 * statistics.median(farm.tally.overheads)
    rows = [
        row("overhead a job, median, ms", overhead, 10.0, overhead <= 10),
        row("jobs a second with ledger and results", jobs / seconds, 200.0, jobs / seconds >= 200),
    ]
    count, each = 16, 4 if quick else 12
    with sleepers(count, 0.5) as pool:
        _, seconds = run_farm(pool, [graph(number) for number in range(count * each)])
    efficiency = 100 * each * 0.5 / seconds
    return [
        *rows,
        row("efficiency of 16 workers, jobs of 0.5 s, %", efficiency, 95.0, efficiency >= 95),
    ]


def recovery() -> list[dict[str, Any]]:
    """From the kill to the worker's next `Ready`, less its ComfyUI's boot."""
    found = []
    for what, bar in (("child", 1.0), ("pid", 3.0)):
        pool = RayPool(SETUP, 1)
        try:
            about = wait_for(pool, Ready)
            ready = pool._ray.get(pool._actors["gpu-1"].ready.remote())
            task = {"prompt_id": "6f1c1f0e-8a55-5a0b-9a53-6c0b5d1f3c77", "prefix": "farm/k"}
            task |= {
                "kind": "graph",
                "spec": {"graph": graph(1, seconds=30)},
                "seed": 1,
                "pictures": {},
            }
            pool.send(about.worker, "k", task)
            time.sleep(1.0)
            killed = time.monotonic()
            os.kill(ready[what], signal.SIGKILL)
            wait_for(pool, (Lost, Answer))
            known = time.monotonic() - killed
            again = wait_for(pool, Ready)
            beyond = time.monotonic() - killed - again.boot
        finally:
            pool.close()
        name = "ComfyUI" if what == "child" else "worker"
        found += [
            row(f"death of a {name} known after, s", known, bar, known <= bar),
            row(f"{name} ready again beyond its boot, s", beyond, bar, beyond <= bar),
        ]
    return found


def wait_for(pool: RayPool, kind: Any) -> Any:
    while True:
        for event in pool.events(0.02):
            if isinstance(event, kind):
                return event


def chaos(jobs: int) -> list[dict[str, Any]]:
    """ComfyUI, worker and driver killed in turn, then ComfyUI and worker at once; called again."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        source = Path(folder) / "jobs.jsonl"
        lines = [json.dumps(graph(number, seconds=0.1)) for number in range(jobs)]
        source.write_text("\n".join(lines), encoding="utf-8")
        first = start(source, out)
        kill_at(out, jobs // 5, first, ["child"])
        kill_at(out, 2 * jobs // 5, first, ["worker"])
        kill_at(out, 3 * jobs // 5, first, ["child", "worker"])
        kill_at(out, 4 * jobs // 5, first, ["driver"])
        first.wait()
        before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
        start(source, out).wait()
        records = list((out / "records").glob("*.json"))
        named = [name for path in records for name in json.loads(path.read_text())["files"]]
        pictures = sorted(path.name for path in out.glob("*.png"))
        once = len(records) == jobs and sorted(named) == pictures
        # A job whose pictures lay there without a record was not published.
        published = {name for name in before if (out / name).stat().st_mtime_ns == before[name]}
        again = len(before) - len(published)
        assert (out / LEDGER).is_file()
    return [
        row(f"outputs exactly once of {jobs} under four kills", len(records), jobs, once),
        row("published jobs rendered again", again, 0, again <= 1),
    ]


def start(source: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "farm"), str(source), "--out", str(out), "--gpus", "2"]
    command += ["--comfyui", str(STUB), "--python", sys.executable, "--", "--cpu"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def kill_at(out: Path, done: int, driver: subprocess.Popen[bytes], what: list[str]) -> None:
    """When so many records are there. Only what this driver started."""
    deadline = time.monotonic() + 300
    while len(list((out / "records").glob("*.json"))) < done:
        if driver.poll() is not None or time.monotonic() > deadline:
            return
        time.sleep(0.02)
    if "driver" in what:
        driver.kill()
        return
    mine = psutil.Process(driver.pid).children(recursive=True)
    comfy = [each for each in mine if any(str(STUB) in part for part in each.cmdline())]
    workers = [each.parent() for each in comfy]
    victims = [comfy[0]] if "child" in what else []
    victims += [workers[-1]] if "worker" in what else []
    for victim in filter(None, victims):
        victim.kill()


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


def row(what: str, measured: float, bar: float, holds: bool) -> dict[str, Any]:
    return {"what": what, "measured": round(measured, 2), "bar": bar, "holds": holds}


def main(argv: list[str] | None = None) -> int:
    parser = engine.options(__doc__, "fewer jobs")
    arguments = parser.parse_args(argv)
    rows = simulated()
    connect(Address(), gpus=16)
    try:
        rows += costs(arguments.quick) + recovery()
    finally:
        disconnect()
    rows += chaos(40 if arguments.quick else 200)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    rows.append(row("load of this machine at the end", load, 0.0, True))
    engine.report(rows, ["what", "measured", "bar", "holds"], arguments.json)
    return int(not all(each["holds"] for each in rows))


if __name__ == "__main__":
    sys.exit(main())
