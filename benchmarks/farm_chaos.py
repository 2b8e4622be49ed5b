"""Whole runs of the command `farm` over stub ComfyUIs, in which everything dies in turn and together; and
whether each output is there exactly once afterwards. For `farm` and the tests."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
from farm_faults import PATIENCE, ROOT, STUB, graph, read_rows

from ensemble.cluster.results import RECORDS

# What dies once so many eighths of the jobs are done: each in turn, then together.
LOCAL = (
    (1, "child"),
    (2, "worker"),
    (4, "driver"),
    (5, "child worker"),
    (6, "child worker driver"),
)
MACHINES = (
    *((1, "child"), (2, "worker"), (3, "node"), (4, "driver"), (5, "child worker node")),
    (6, "child worker node driver"),
)


class Chaos:
    """Drivers over one file of jobs, one after another; `made` is the cluster, None for Rays of the
    drivers' own."""

    def __init__(self, folder: Path, jobs: int, made: Any = None, seconds: float = 0.2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.out = folder / "out"
        self.jobs = jobs
        self.again = 0  # published, and published once more
        self.kills = 0
        self._made = made
        self._source = folder / "jobs.jsonl"
        lines = [json.dumps(graph(number, seconds=seconds)) for number in range(jobs)]
        self._source.write_text("\n".join(lines), encoding="utf-8")
        self._log = folder / "log"

    def run(self, plan: tuple[tuple[int, str], ...]) -> None:
        driver = self.start()
        try:
            for eighths, what in plan:
                self.wait(driver, eighths * self.jobs // 8)
                self._kill(driver, what.split())
                if "driver" in what:
                    driver.wait()
                    before = self._published()
                    driver = self.start()
                    self.wait(driver, len(before[0]) + 1)
                    self.again += self._changed(before)
            before = self._published()
            if driver.wait(PATIENCE):
                raise RuntimeError(f"farm ended with {driver.returncode}: {self.log()[-2000:]}")
            self.again += self._changed(before)
        finally:
            driver.kill()
            driver.wait()

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def once(self) -> bool:
        """Every output exactly once: a record a job, its pictures and no others, nothing half written,
        and no job begun again after it was published."""
        records = [json.loads(path.read_bytes()) for path in (self.out / RECORDS).glob("*.json")]
        named = sorted(name for each in records for name in each["files"])
        tries = {each["key"]: each["attempt"] for each in records}
        rows = read_rows(self.out)
        return (
            len(records) == len(rows) == self.jobs == len(set(named))
            and named == sorted(path.name for path in self.out.glob("*.png"))
            and not list(self.out.rglob("*.part"))
            and all(each["state"] == "done" for each in rows)
            and tries == {each["key"]: each["attempts"] for each in rows}
        )

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(ROOT / "farm"), str(self._source), "--out", str(self.out)]
        command += ["--cluster", self._made.address] if self._made else ["--gpus", "2"]
        command += ["--comfyui", str(STUB), "--python", sys.executable, "--", "--cpu"]
        with self._log.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def _done(self) -> list[Path]:
        return list((self.out / RECORDS).glob("*.json"))

    def wait(self, driver: subprocess.Popen[bytes], done: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self._done()) < done:
            if driver.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"farm came to {len(self._done())} of {done}: {self.log()[-2000:]}"
                )
            time.sleep(0.02)

    def _published(self) -> tuple[list[Path], dict[Path, int]]:
        records = self._done()
        named = [self.out / n for path in records for n in json.loads(path.read_bytes())["files"]]
        return records, {path: path.stat().st_mtime_ns for path in (*records, *named)}

    def _changed(self, before: tuple[list[Path], dict[Path, int]]) -> int:
        return sum(
            not path.exists() or path.stat().st_mtime_ns != then for path, then in before[1].items()
        )

    def _kill(self, driver: subprocess.Popen[bytes], what: list[str]) -> None:
        """All at once. Processes that this one or its driver started, and no others."""
        comfy: list[psutil.Process] = []
        while len(comfy) < 2:  # a ComfyUI and a worker that are up
            if driver.poll() is not None:
                raise RuntimeError(f"farm had ended before the kill: {self.log()[-2000:]}")
            comfy = [each for each in psutil.Process().children(recursive=True) if _is_stub(each)]
            time.sleep(0.02)
        victims = [comfy[0]] if "child" in what else []
        victims += [comfy[-1].parent()] if "worker" in what else []
        for victim in filter(None, victims):
            victim.kill()
        if "driver" in what:
            driver.kill()
        if "node" in what:
            nodes = [each for each in self._made.list_all_nodes() if not each.is_head()]
            self._made.remove_node(nodes[0], allow_graceful=False)
            self._made.more()
        self.kills += len(what)


def _is_stub(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
    return str(STUB / "main.py") in command and "-c" not in command
