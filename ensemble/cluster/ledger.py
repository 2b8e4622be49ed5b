"""The driver's durable record: one SQLite file, a row a job, locked to one driver.

All lines are in it before anything runs, in one transaction. A process that dies at any moment loses
nothing of it. Power that fails may take the last changes: those are tries and failures, which come
again, for what is done is told by the records beside the pictures (results.py), each on the disk
before the next step.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .blame import Record
from .dispatch import Waiting
from .job import BadLine, Job, Kind, Needs, State

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    key TEXT PRIMARY KEY, line INTEGER NOT NULL, name TEXT NOT NULL, listed INTEGER NOT NULL,
    kind TEXT, spec TEXT, needs TEXT, state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0,
    out_of_memory INTEGER NOT NULL DEFAULT 0,
    fault TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '',
    seconds REAL, finished REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (listed, state, line);
"""


class LedgerError(RuntimeError):
    """The ledger cannot be used; the message says why and the way out."""


@dataclass(frozen=True)
class Task:
    """A job as it is sent: `attempt` counts from 1."""

    key: str
    line: int
    name: str
    kind: Kind
    spec: dict[str, Any]
    pictures: tuple[str, ...]
    attempt: int


@dataclass(frozen=True)
class Failed:
    """A job that has failed, for the report."""

    line: int
    name: str
    key: str
    error: str
    attempts: int


class Ledger:
    """For one driver and one thread. Rows that the source no longer lists stay, and count nowhere."""

    def __init__(self, path: Path) -> None:
        """Raises LedgerError where the file cannot be used or another driver has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = _take(path.with_suffix(".lock"))
        try:
            self._db = _open(path)
        except (sqlite3.Error, LedgerError) as error:
            self._lock.close()
            raise LedgerError(f"{path}: {error}") from error

    def close(self) -> None:
        self._db.close()
        self._lock.close()

    def list_jobs(self, lines: Iterable[Job | BadLine]) -> None:
        """Take in the source as it is now, whole or not at all. What was known keeps its state; a job
        that a dead driver had sent waits again."""
        with self._transaction():
            self._db.execute("UPDATE jobs SET listed = 0")
            self._db.execute("UPDATE jobs SET state = 'waiting' WHERE state = 'running'")
            for each in lines:
                self._list(each)

    def _list(self, each: Job | BadLine) -> None:
        if isinstance(each, BadLine):
            self._db.execute(
                "INSERT INTO jobs (key, line, name, listed, state, fault, error)"
                " VALUES (?, ?, ?, 1, 'failed', 'line', ?) ON CONFLICT (key) DO UPDATE"
                " SET listed = 1, line = excluded.line, error = excluded.error",
                (each.key, each.line, each.name, each.error),
            )
            return
        self._db.execute(
            "INSERT INTO jobs (key, line, name, listed, state, kind, spec, needs)"
            " VALUES (?, ?, ?, 1, 'waiting', ?, ?, ?) ON CONFLICT (key) DO UPDATE SET listed = 1,"
            " line = excluded.line, name = excluded.name, needs = excluded.needs,"
            " spec = excluded.spec, kind = excluded.kind",
            (each.key, each.line, each.name, each.kind.value, json.dumps(each.spec), _pack(each.needs)),
        )  # fmt: skip

    def adopt(self, done: Iterable[str]) -> None:
        """What the records say: these jobs are done, and no others."""
        with self._transaction():
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS found (key TEXT PRIMARY KEY)")
            self._db.execute("DELETE FROM found")
            self._db.executemany("INSERT OR IGNORE INTO found VALUES (?)", ((key,) for key in done))
            self._db.execute(
                "UPDATE jobs SET state = 'waiting' WHERE state = 'done'"
                " AND key NOT IN (SELECT key FROM found)"
            )
            self._db.execute(
                "UPDATE jobs SET state = 'done', error = '', fault = ''"
                " WHERE state != 'done' AND key IN (SELECT key FROM found)"
            )

    def retry_failed(self) -> int:
        """Let failed jobs wait again, all their tries forgotten; lines that are no jobs stay."""
        with self._transaction():
            changed = self._db.execute(
                "UPDATE jobs SET state = 'waiting', deaths = 0, out_of_memory = 0, error = '',"
                " fault = '' WHERE listed AND state = 'failed' AND fault != 'line'"
            )
        return changed.rowcount

    def waiting(self, limit: int | None = None) -> Iterator[Waiting]:
        """Listed jobs without an outcome, in the source's order."""
        rows = self._db.execute(
            "SELECT key, needs, deaths, out_of_memory FROM jobs WHERE listed AND state = 'waiting'"
            " ORDER BY line LIMIT ?",
            (-1 if limit is None else limit,),
        ).fetchall()
        for row in rows:
            record = Record(row["deaths"], row["out_of_memory"])
            yield Waiting(row["key"], _unpack(row["needs"]), record)

    def begin(self, key: str, worker: str) -> Task:
        """Note that a worker gets the job; what to send it."""
        (row,) = self._change(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = ? WHERE key = ?"
            " RETURNING line, name, kind, spec, needs, attempts",
            (worker, key),
        )
        return Task(
            key, row["line"], row["name"], Kind(row["kind"]), json.loads(row["spec"]),
            _unpack(row["needs"]).pictures, row["attempts"],
        )  # fmt: skip

    def finish(self, key: str, seconds: float, now: float) -> None:
        self._change(
            "UPDATE jobs SET state = 'done', seconds = ?, finished = ?, error = '', fault = ''"
            " WHERE key = ?",
            (seconds, now, key),
        )

    def fail(self, key: str, fault: str, error: str, record: Record, now: float) -> None:
        self._end("failed", key, fault, error, record, now)

    def put_back(self, key: str, fault: str, error: str, record: Record) -> None:
        """It waits again, with what it has been through."""
        self._end("waiting", key, fault, error, record, None)

    def _end(
        self, state: str, key: str, fault: str, error: str, record: Record, now: float | None
    ) -> None:
        self._change(
            "UPDATE jobs SET state = ?, fault = ?, error = ?, deaths = ?, out_of_memory = ?,"
            " finished = ? WHERE key = ?",
            (state, fault, error, record.deaths, record.out_of_memory, now, key),
        )

    def _change(self, statement: str, values: Sequence[object]) -> list[sqlite3.Row]:
        with _told(self._path):  # fetched here: it is then that the disk is full
            return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _told(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise

    def counts(self) -> dict[State, int]:
        return _counts(self._db)

    def failed(self) -> list[Failed]:
        return _failed(self._db)


@dataclass(frozen=True)
class Status:
    """A ledger as it stands, also while a driver works. `rate` is finished jobs a minute over the
    last ten minutes of work."""

    counts: dict[State, int]
    failed: list[Failed]
    rate: float | None


def read_status(path: Path) -> Status:
    """Raises LedgerError where there is none."""
    if not path.is_file():
        raise LedgerError(f"{path.parent} has no ledger: no run has been started there")
    try:
        db = _connect(path)
        try:
            last = db.execute(
                "SELECT count(*), max(finished) - min(finished) FROM jobs WHERE listed AND"
                " finished > (SELECT max(finished) FROM jobs WHERE listed) - 600"
            ).fetchone()
            rate = 60 * (last[0] - 1) / last[1] if last[0] > 1 and last[1] else None
            return Status(_counts(db), _failed(db), rate)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error


def _counts(db: sqlite3.Connection) -> dict[State, int]:
    rows = db.execute("SELECT state, count(*) FROM jobs WHERE listed GROUP BY state")
    return dict.fromkeys(State, 0) | {State(state): number for state, number in rows}


def _failed(db: sqlite3.Connection) -> list[Failed]:
    rows = db.execute(
        "SELECT line, name, key, error, attempts FROM jobs WHERE listed AND state = 'failed'"
        " ORDER BY line"
    )
    return [Failed(*row) for row in rows]


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite says, as a LedgerError; a full disk above all."""
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(
            f"{path} cannot be written to ({error}); make room there and call again: what is done is kept"
        ) from error


def _take(path: Path) -> sqlite3.Connection:
    """SQLite's own lock on a file beside the ledger: dropped by the system when its holder dies, on
    every platform, and the ledger itself can be read meanwhile."""
    lock = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" in str(error):
            raise LedgerError(
                f"another farm is writing to {path.parent}; let it end, or choose another --out"
            ) from error
        raise LedgerError(f"{path}: {error}") from error
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=10, isolation_level=None)
    db.row_factory = sqlite3.Row
    return db


def _open(path: Path) -> sqlite3.Connection:
    db = _connect(path)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # Two syncs a job less than FULL, which were most of what a job cost; see above.
        db.execute("PRAGMA synchronous = NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, _VERSION):
            raise LedgerError("it was written by a newer version of this pack")
        db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _pack(needs: Needs) -> str:
    fields = (needs.model, needs.loras, sorted(needs.files), needs.pictures, needs.work)
    return json.dumps(fields)


def _unpack(text: str) -> Needs:
    model, loras, files, pictures, work = json.loads(text)
    return Needs(model, loras, frozenset(files), tuple(pictures), work)
