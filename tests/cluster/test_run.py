"""The loop over a pool without Ray: what it does with every kind of news."""

import random
from collections import Counter
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.dispatch import Able
from ensemble_portraits.ensemble.cluster.events import (
    Answer,
    Event,
    Lost,
    NotUp,
    PoolLostError,
    Ready,
    StoppedError,
)
from ensemble_portraits.ensemble.cluster.inputs import Pictures
from ensemble_portraits.ensemble.cluster.run import Farm

from .conftest import Yard, stub_graph


class FakePool:
    """Answers in order; `script(worker, task)` says how a try ends."""

    def __init__(self, script: Any, workers: int = 2, boots: Any = lambda worker: True) -> None:
        self._names = [f"w{number}" for number in range(workers)]
        self._script, self._boots = script, boots
        self._pending: list[Event] = []
        self._heard: Counter[str] = Counter()
        self.aside: list[str] = []
        self.sent: list[tuple[str, str]] = []
        self.cancelled: list[str] = []
        for name in self._names:
            self.boot(name)

    def workers(self) -> frozenset[str]:
        return frozenset(self._names)

    def boot(self, worker: str) -> None:
        up = self._boots(worker)
        files = frozenset({"a.safetensors"})
        self._pending.append(
            Ready(worker, Able(files, 8), "host", 1.0) if up else NotUp(worker, "no module named x")
        )

    def send(self, worker: str, key: str, task: dict[str, Any]) -> None:
        self.sent.append((worker, key))
        answer = self._script(worker, task)
        if isinstance(answer, str):
            self._pending.append(Lost(worker, key, answer))
            self.boot(worker)
            return
        done = {"files": [("x.png", b"x")], "report": {}, "seconds": 1.0, "inside": 15.0}
        self._pending.append(Answer(worker, key, done | answer))
        if answer.get("reboot"):
            self.boot(worker)

    def cancel(self, worker: str, prompt_id: str) -> None:
        self.cancelled.append(worker)

    def set_aside(self, worker: str) -> None:
        self.aside.append(worker)
        self._pending = [e for e in self._pending if e.worker != worker]

    def events(self, timeout: float) -> list[Event]:
        """One at a time, of each worker in turn."""
        found = min(self._pending, key=lambda event: self._heard[event.worker], default=None)
        if found is None:
            return []
        self._heard[found.worker] += 1
        self._pending.remove(found)
        return [found]


def jobs(count: int) -> list[dict[str, Any]]:
    return [stub_graph(n=number) for number in range(count)]


def number_of(task: dict[str, Any]) -> int:
    return task["spec"]["graph"]["stub"]["inputs"]["n"]


@pytest.mark.parametrize("seed", range(5))
def test_one_outcome_for_each_job_under_random_deaths(yard: Yard, seed):
    rng = random.Random(seed)

    def script(worker, task):
        return rng.choice(
            ["its actor died", {"fault": "died", "error": "x", "reboot": True}, {}, {}, {}]
        )

    yard.fill(jobs(60))
    pool = FakePool(script, workers=8)
    farm = yard.run(pool)
    rows = yard.rows()
    assert {row["state"] for row in rows} <= {"done", "failed"}
    assert all(row["deaths"] == 3 for row in rows if row["state"] == "failed")
    yard.check_once(farm.tally.done)
    assert farm.tally.done + farm.tally.failed == 60


def test_a_bad_graph_is_tried_once_and_a_killer_three_times_on_different_workers(yard: Yard):
    def script(worker, task):
        if number_of(task) == 1:
            return {"fault": "failed", "error": "KSampler: no"}
        return "killed" if number_of(task) == 2 else {}

    yard.fill(jobs(12))
    pool = FakePool(script, workers=3)
    yard.run(pool)
    rows = yard.rows()
    assert [(rows[n]["state"], rows[n]["attempts"]) for n in (1, 2)] == [
        ("failed", 1),
        ("failed", 3),
    ]
    assert rows[1]["error"] == "KSampler: no"
    assert "3 workers ended under it" in rows[2]["error"]
    tries = [worker for worker, key in pool.sent if key == rows[2]["key"]]
    assert tries[0] != tries[1] and tries[1] != tries[2]
    yard.check_once(10)


def test_a_broken_worker_is_set_aside_and_fails_no_job(yard: Yard):
    yard.fill(jobs(20))
    pool = FakePool(lambda worker, task: "broken" if worker == "w0" else {}, workers=3)
    farm = yard.run(pool)
    assert pool.aside == ["w0"]
    assert farm.tally.done == 20
    assert any("set aside: it ended under three different jobs" in line for line in yard.lines)


def test_a_job_is_not_to_blame_for_a_comfyui_that_had_ended_before(yard: Yard):
    gone = [{"fault": "absent", "error": "ComfyUI had ended with code -9", "reboot": True}] * 4
    yard.fill(jobs(1))
    farm = yard.run(FakePool(lambda worker, task: gone.pop() if gone else {}, workers=3))
    assert farm.tally.done == 1
    assert yard.rows()[0]["deaths"] == 0


def test_a_worker_that_does_not_boot_is_tried_three_times(yard: Yard):
    yard.fill(jobs(3))
    pool = FakePool(lambda worker, task: {}, boots=lambda worker: worker != "w1")
    assert yard.run(pool).tally.done == 3
    assert pool.aside == ["w1"]
    assert sum("no module named x" in line for line in yard.lines) == 3


def test_nobody_left_ends_the_run_and_the_jobs_wait(yard: Yard):
    yard.fill(jobs(3))
    with pytest.raises(StoppedError, match="every worker has been set aside"):
        yard.run(FakePool(lambda worker, task: {}, boots=lambda worker: False))
    assert {row["state"] for row in yard.rows()} == {"waiting"}


def test_what_did_not_fit_is_tried_once_more(yard: Yard):
    def script(worker, task):
        return {"fault": "memory", "error": "CUDA out of memory"} if number_of(task) == 0 else {}

    yard.fill(jobs(2))
    yard.run(FakePool(script))
    assert [(row["state"], row["attempts"]) for row in yard.rows()] == [("failed", 2), ("done", 1)]


def test_a_full_disk_ends_the_run_with_a_line_and_loses_nothing(yard: Yard, monkeypatch):
    yard.fill(jobs(3))
    from ensemble_portraits.ensemble.cluster.results import Results

    publish, left = Results.publish, [1]

    def full(self, *arguments):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return publish(self, *arguments)

    monkeypatch.setattr(Results, "publish", full)
    with pytest.raises(StoppedError, match="No space left on device"):
        yard.run(FakePool(lambda worker, task: {}))
    monkeypatch.undo()
    yard.fill(jobs(3))
    pool = FakePool(lambda worker, task: {})
    yard.run(pool)
    assert len(pool.sent) == 2
    yard.check_once(3)


def test_ray_gone_ends_the_run_and_resuming_renders_nothing_twice(yard: Yard):
    class Gone(FakePool):
        def events(self, timeout):
            if len(self.sent) > 5:
                raise PoolLostError("Ray has not answered for 30 s")
            return super().events(timeout)

    yard.fill(jobs(10))
    with pytest.raises(PoolLostError):
        yard.run(Gone(lambda worker, task: {}))
    before = sum(row["state"] == "done" for row in yard.rows())
    assert before
    yard.fill(jobs(10))
    pool = FakePool(lambda worker, task: {})
    yard.run(pool)
    assert len(pool.sent) == 10 - before
    yard.check_once(10)


def test_published_but_not_noted_is_adopted(yard: Yard):
    yard.fill(jobs(2))
    yard.run(FakePool(lambda worker, task: {}))
    with yard.opened() as (ledger, _):
        ledger._db.execute("UPDATE jobs SET state = 'running'")
    yard.fill(jobs(2))
    pool = FakePool(lambda worker, task: {})
    yard.run(pool)
    assert pool.sent == []


def test_stop_hands_out_nothing_more_and_a_second_one_cancels(yard: Yard):
    pool = FakePool(lambda worker, task: {})
    yard.fill(jobs(6))

    def faults(farm):
        def script(worker, task):
            farm.stop()
            farm.stop()
            return {}

        pool._script = script

    yard.run(pool, faults)
    assert len(pool.sent) <= 2
    assert pool.cancelled
    assert sum(row["state"] == "waiting" for row in yard.rows()) >= 4


def test_limit(yard: Yard):
    yard.fill(jobs(6))
    assert yard.run(FakePool(lambda worker, task: {}), limit=2).tally.done == 2


def test_a_file_that_nobody_has_is_told_with_what_is_near(yard: Yard):
    graph = stub_graph(n=0)
    graph["4"] = {"class_type": "L", "inputs": {"ckpt_name": "b.safetensors"}}
    yard.fill([graph])
    yard.run(FakePool(lambda worker, task: {"fault": "refused", "error": "not in list"}))
    error = yard.rows()[0]["error"]
    assert "no worker has 'b.safetensors'; near: a.safetensors" in error


def test_the_progress_line(yard: Yard):
    yard.fill(jobs(4))
    with yard.opened() as (ledger, results):
        pool = FakePool(lambda worker, task: {})
        farm = Farm(
            ledger=ledger, results=results, pool=pool, pictures=Pictures(yard.out), say=print
        )
        farm.run()
        line = farm.progress()
    assert line.startswith("done 4, failed 0, left 0; ")
    assert "jobs a minute" in line and "2 of 2 workers up, " in line
