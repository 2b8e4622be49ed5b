import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.cluster.blame import Record
from ensemble_portraits.ensemble.cluster.job import BadLine, Job, Kind, Needs, State
from ensemble_portraits.ensemble.cluster.ledger import Ledger, LedgerError, read_status

NEEDS = Needs("m", "l", frozenset({"m.safetensors"}), ("me.png",), 5.0)


def job(number: int) -> Job:
    return Job(f"k{number}", number, f"n{number}", Kind.GRAPH, {"graph": {"n": number}}, NEEDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "farm.sqlite3"


def test_from_line_to_outcome(path):
    ledger = Ledger(path)
    ledger.list_jobs([job(1), job(2), BadLine("kb", 3, "", "is no job"), job(4)])
    assert [each.key for each in ledger.waiting()] == ["k1", "k2", "k4"]
    assert next(iter(ledger.waiting())).needs == NEEDS
    assert len(list(ledger.waiting(2))) == 2
    task = ledger.begin("k1", "gpu-1")
    assert (task.spec, task.attempt, task.pictures) == ({"graph": {"n": 1}}, 1, ("me.png",))
    ledger.put_back("k1", "died", "gone", Record(1, 0))
    assert next(iter(ledger.waiting())).record == Record(1, 0)
    assert ledger.begin("k1", "gpu-2").attempt == 2
    ledger.finish("k1", 2.5, 1000.0)
    ledger.fail("k2", "failed", "the node raises", Record(), 1001.0)
    counts = ledger.counts()
    assert (counts[State.DONE], counts[State.FAILED], counts[State.WAITING]) == (1, 2, 1)
    assert [(each.line, each.error) for each in ledger.failed()] == [
        (2, "the node raises"),
        (3, "is no job"),
    ]
    assert ledger.retry_failed() == 1
    assert [each.key for each in ledger.waiting()] == ["k2", "k4"]
    ledger.close()


def test_a_changed_source_keeps_what_is_known_and_counts_what_it_lists(path):
    ledger = Ledger(path)
    ledger.list_jobs([job(1), job(2)])
    ledger.begin("k1", "w")
    ledger.finish("k1", 1.0, 1.0)
    ledger.begin("k2", "w")  # and its driver dies
    ledger.close()
    ledger = Ledger(path)
    ledger.list_jobs([job(3), job(2), job(1)])
    assert [each.key for each in ledger.waiting()] == ["k2", "k3"]
    assert ledger.counts()[State.DONE] == 1
    ledger.list_jobs([job(3)])
    assert sum(ledger.counts().values()) == 1
    ledger.close()


def test_records_decide_what_is_done(path):
    ledger = Ledger(path)
    ledger.list_jobs([job(1), job(2), job(3)])
    ledger.finish("k1", 1.0, 1.0)
    ledger.adopt(["k2", "of another file"])
    assert [each.key for each in ledger.waiting()] == ["k1", "k3"]
    ledger.close()


def test_two_drivers_on_one_ledger(path):
    ledger = Ledger(path)
    with pytest.raises(LedgerError, match="another farm is writing"):
        Ledger(path)
    ledger.list_jobs([job(1)])
    assert read_status(path).counts[State.WAITING] == 1
    ledger.close()
    Ledger(path).close()


def test_a_driver_that_was_killed_holds_no_lock(path):
    code = (
        "import importlib.util, os, signal, sys; sys.path.insert(0, sys.argv[2]);"
        "from ensemble.cluster.ledger import Ledger; from pathlib import Path;"
        "keep = Ledger(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run([sys.executable, "-c", code, str(path), root], check=False)
    Ledger(path).close()


class Crash(BaseException):
    pass


class CrashingDb:
    """Stops before its n-th statement, as a process that is killed there."""

    def __init__(self, db, after):
        self._db, self._left = db, after

    def execute(self, *arguments):
        self._step()
        return self._db.execute(*arguments)

    def executemany(self, *arguments):
        self._step()
        return self._db.executemany(*arguments)

    def _step(self):
        self._left -= 1
        if self._left < 0:
            self._db.close()
            raise Crash


@pytest.mark.parametrize("after", range(10))
def test_a_crash_at_every_statement_of_the_intake_leaves_all_or_nothing(path, after):
    ledger = Ledger(path)
    ledger.list_jobs([job(1)])
    ledger._db = CrashingDb(ledger._db, after)
    # ROLLBACK meets the closed file first.
    with pytest.raises((Crash, Exception)):
        ledger.list_jobs([job(1), job(2), job(3)])
        raise Crash
    ledger._lock.close()
    again = Ledger(path)
    assert sum(again.counts().values()) in (1, 3)
    again.list_jobs([job(1), job(2), job(3)])
    assert [each.key for each in again.waiting()] == ["k1", "k2", "k3"]
    again.close()


def test_the_pace_is_that_of_the_last_ten_minutes(path):
    ledger = Ledger(path)
    ledger.list_jobs([job(number) for number in range(1, 8)])
    for number, at in enumerate((0.0, 5000.0, 5060.0, 5120.0), 1):
        ledger.finish(f"k{number}", 1.0, at)
    assert read_status(path).rate == pytest.approx(1.0)
    ledger.close()


def test_what_cannot_be_used_is_told(tmp_path):
    with pytest.raises(LedgerError, match="no run has been started"):
        read_status(tmp_path / "farm.sqlite3")
    (tmp_path / "farm.sqlite3").write_text("no database, and longer than a header would be" * 50)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger(tmp_path / "farm.sqlite3")


def test_a_full_disk_is_told_as_one(path):
    with contextlib.closing(Ledger(path)) as ledger:
        ledger.list_jobs([job(n) for n in range(3)])
        ledger._db.execute("PRAGMA max_page_count = 1")  # at most as large as it is
        with pytest.raises(LedgerError, match=r"database or disk is full.*what is done is kept"):
            ledger.list_jobs([job(n) for n in range(1000)])
        assert ledger.counts()[State.WAITING] == 3
        with pytest.raises(LedgerError, match="disk is full"):
            ledger.fail(job(0).key, "failed", "x" * 100_000, Record(), 0.0)
