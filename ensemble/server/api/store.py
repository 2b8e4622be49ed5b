"""The durable record of jobs: SQLite, write-ahead log, one row a job.

A row is written before its job is queued and changed once when it ends, so that whatever happens to
the process, every accepted job is either waiting here or has an outcome. The file is locked as long
as it is open: a second ComfyUI over the same folder must not run the same jobs.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Collection
from pathlib import Path
from urllib.parse import urlsplit

from .job import Job, Outcome, State, WebhookState


class FullError(Exception):
    """As many jobs wait as may wait."""


class ReusedError(Exception):
    """A client's id came back with another request."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id INTEGER NOT NULL UNIQUE, prompt_id TEXT NOT NULL UNIQUE, claim TEXT UNIQUE,
    request TEXT NOT NULL, kind TEXT NOT NULL, graph TEXT, pictures INTEGER NOT NULL,
    work REAL NOT NULL, prefix TEXT NOT NULL, answer TEXT NOT NULL, temporary INTEGER NOT NULL,
    state TEXT NOT NULL, outputs TEXT NOT NULL, error TEXT NOT NULL,
    created REAL NOT NULL, running INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL,
    finished REAL, seconds REAL,
    webhook TEXT, hook_host TEXT NOT NULL, hook TEXT NOT NULL, hook_tries INTEGER NOT NULL, hook_next REAL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, number);
CREATE INDEX IF NOT EXISTS jobs_by_hook ON jobs (hook, hook_next);
CREATE INDEX IF NOT EXISTS jobs_by_kind ON jobs (kind, number);
"""
_VERSION = 1


class JobStore:
    """All methods may be called from any thread; each is one transaction."""

    def __init__(self, path: Path) -> None:
        """Raises sqlite3.Error where the file cannot be used, or another process has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # Prompts and webhook addresses are nobody else's.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            # Each commit is on the disk before its job is accepted.
            self._db.execute("PRAGMA synchronous = FULL")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"{path} is of a newer version of this pack")
            self._db.executescript(f"BEGIN EXCLUSIVE; {_SCHEMA} PRAGMA user_version = 1; COMMIT;")
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def add(self, job: Job, most_waiting: int) -> tuple[Job, bool]:
        """The job as it stands now and whether it is new: a key that was used before gives its
        first job. Raises ReusedError where that one was asked for differently, and FullError.
        """
        row = _row(job)
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        # The connection commits, or rolls back where something is raised.
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            key = job.idempotency_key
            if key is not None and (known := self.by_idempotency_key(key)):
                if known.request != job.request:
                    raise ReusedError
                return known, False
            if self.count_waiting() >= most_waiting:
                raise FullError
            self._db.execute(
                f"INSERT INTO jobs ({names}) VALUES ({marks})",  # noqa: S608 - our column names
                tuple(row.values()),
            )
            added = self.by_id(job.id)
        assert added is not None  # noqa: S101 - read in the transaction that wrote it
        return added, True

    def by_idempotency_key(self, key: str) -> Job | None:
        return self._first("claim = ?", key)

    def by_id(self, number: int) -> Job | None:
        return self._first("id = ?", number)

    def by_prompt_id(self, prompt_id: str) -> Job | None:
        return self._first("prompt_id = ?", prompt_id)

    def waiting(self) -> list[Job]:
        """Jobs without an outcome, oldest first."""
        return self._all("state = 'waiting' ORDER BY number")

    def count_waiting(self) -> int:
        with self._lock:
            found = self._db.execute("SELECT count(*) FROM jobs WHERE state = 'waiting'")
            return found.fetchone()[0]

    def set_running(self, prompt_id: str) -> None:
        """Note that ComfyUI has begun it."""
        self._update("running = 1 WHERE prompt_id = ?", prompt_id)

    def count_crashes(self) -> None:
        """At start: count a crash for every job that ran when the last process ended."""
        self._update("crashes = crashes + running, running = 0 WHERE state = 'waiting'")

    def finish(self, prompt_id: str, outcome: Outcome, now: float) -> bool:
        """Give a waiting job its outcome and make its webhook due; False if it has an outcome."""
        state = State.FAILED if outcome.error else State.DONE
        changed = self._update(
            "state = ?, outputs = ?, error = ?, seconds = ?, finished = ?,"
            " graph = NULL, running = 0, hook_next = ?,"
            " hook = CASE hook WHEN 'waiting' THEN 'due' ELSE hook END"
            " WHERE prompt_id = ? AND state = 'waiting'",
            *(state.value, json.dumps(outcome.outputs), outcome.error, outcome.seconds),
            *(now, now, prompt_id),
        )
        return changed == 1

    def past_runs(self, kind: str, count: int = 20) -> list[tuple[float, float]]:
        """`(work, seconds)` of the last jobs of a kind that gave pictures."""
        with self._lock:
            rows = self._db.execute(
                "SELECT work, seconds FROM jobs WHERE kind = ? AND state = 'done'"
                " AND seconds IS NOT NULL ORDER BY number DESC LIMIT ?",
                (kind, count),
            )
            return [(row["work"], row["seconds"]) for row in rows]

    def due_hooks(self, now: float, count: int, busy: Collection[str] = ()) -> list[Job]:
        """Jobs whose webhook call is due and does not go to one of the `busy` hosts."""
        free = f"hook_host NOT IN ({', '.join('?' * len(busy))})"
        due = f"hook = 'due' AND hook_next <= ? AND {free} ORDER BY hook_next LIMIT ?"
        return self._all(due, now, *busy, count)

    def set_hook(
        self, prompt_id: str, hook: WebhookState, tries: int, at: float | None = None
    ) -> None:
        """Note how the call stands after a try, and when the next try is."""
        changes = "hook = ?, hook_tries = ?, hook_next = ? WHERE prompt_id = ?"
        self._update(changes, hook.value, tries, at, prompt_id)

    def expired(self, before: float) -> list[Job]:
        """Temporary jobs that ended before then and still have pictures."""
        return self._all("temporary = 1 AND finished < ? AND outputs != '[]'", before)

    def drop_pictures(self, prompt_id: str) -> None:
        self._update("outputs = '[]' WHERE prompt_id = ?", prompt_id)

    def _update(self, changes: str, *values: object) -> int:
        """How many rows were changed."""
        with self._lock:
            done = self._db.execute(f"UPDATE jobs SET {changes}", values)  # noqa: S608 - our text
            return done.rowcount

    def _first(self, condition: str, *values: object) -> Job | None:
        return next(iter(self._all(f"{condition} LIMIT 1", *values)), None)

    def _all(self, condition: str, *values: object) -> list[Job]:
        with self._lock:
            rows = self._db.execute(
                f"SELECT * FROM jobs WHERE {condition}",  # noqa: S608 - conditions are in this file
                values,
            ).fetchall()
        return [_job(row) for row in rows]


def webhook_host(job: Job) -> str:
    """Host and port of its webhook, spelled in one way."""
    parts = urlsplit(job.webhook or "")
    return parts.netloc.lower().removesuffix(":443" if parts.scheme == "https" else ":80")


# Fields that are columns as they are, and under which name.
_PLAIN = {
    **{name: name for name in ("id", "prompt_id", "request", "kind", "pictures", "work", "prefix")},
    **{name: name for name in ("error", "created", "crashes", "finished", "seconds", "webhook")},
    "hook_tries": "hook_tries",
    "idempotency_key": "claim",
}


def _row(job: Job) -> dict[str, object]:
    return {column: getattr(job, name) for name, column in _PLAIN.items()} | {
        "graph": json.dumps(job.graph),
        "answer": json.dumps(job.answer),
        "outputs": json.dumps(job.outputs),
        "state": job.state.value,
        "hook": job.hook.value,
        "hook_host": webhook_host(job),
        "temporary": int(job.temporary),
    }


def _job(row: sqlite3.Row) -> Job:
    return Job(
        **{name: row[column] for name, column in _PLAIN.items()},
        graph=json.loads(row["graph"]) if row["graph"] else {},
        answer=json.loads(row["answer"]),
        outputs=tuple(json.loads(row["outputs"])),
        state=State(row["state"]),
        hook=WebhookState(row["hook"]),
        temporary=bool(row["temporary"]),
        number=row["number"],
    )
