"""The store on a real file, from many threads and over a kill."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from ensemble_portraits.ensemble.server.api.job import Outcome, State, WebhookState
from ensemble_portraits.ensemble.server.api.store import FullError, JobStore, ReusedError

from tests.server.drafts import job

PICTURE = {"filename": "a.png", "subfolder": "", "type": "output"}


@pytest.fixture
def store(tmp_path):
    opened = JobStore(tmp_path / "user" / "api.sqlite3")
    yield opened
    opened.close()


def test_a_job_comes_back_as_it_was(store):
    first = job(
        idempotency_key="id:1",
        request="abc",
        webhook="https://h.example/x",
        hook=WebhookState.WAITING,
    )
    added, new = store.add(first, 10)
    assert new
    assert replace(added, number=0) == first
    assert store.by_id(first.id) == store.by_idempotency_key("id:1") == added
    assert store.by_prompt_id(first.prompt_id) == added


def test_a_key_has_one_job_whoever_is_first(store):
    made = [job(idempotency_key="id:same", request="r") for _ in range(16)]
    found = []
    start = threading.Barrier(len(made))

    def add(each):
        start.wait()
        found.append(store.add(each, 100))

    threads = [threading.Thread(target=add, args=(each,)) for each in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(new for _, new in found) == 1
    assert len({each.id for each, _ in found}) == 1
    assert store.count_waiting() == 1


def test_a_key_for_something_else_is_refused(store):
    store.add(job(idempotency_key="id:1", request="a"), 10)
    with pytest.raises(ReusedError):
        store.add(job(idempotency_key="id:1", request="b"), 10)
    assert store.count_waiting() == 1


def test_a_known_key_is_answered_even_when_the_queue_is_full(store):
    first, _ = store.add(job(idempotency_key="id:1"), 1)
    with pytest.raises(FullError):
        store.add(job(), 1)
    assert store.add(job(idempotency_key="id:1"), 1) == (first, False)


def test_an_outcome_is_given_once(store):
    added, _ = store.add(job(webhook="https://h.example", hook=WebhookState.WAITING), 10)
    assert store.due_hooks(1e12, 5) == []
    assert store.finish(added.prompt_id, Outcome((PICTURE,), seconds=2.0), 50.0)
    assert not store.finish(added.prompt_id, Outcome(error="late"), 60.0)
    found = store.by_id(added.id)
    assert (found.state, found.outputs, found.seconds) == (State.DONE, (PICTURE,), 2.0)
    assert [each.id for each in store.due_hooks(60.0, 5)] == [added.id]
    store.set_hook(added.prompt_id, WebhookState.DUE, 1, 100.0)
    assert store.due_hooks(60.0, 5) == []
    store.set_hook(added.prompt_id, WebhookState.SENT, 2)
    assert store.due_hooks(1e12, 5) == []


def test_a_second_process_cannot_have_the_file(store, tmp_path):
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.2).execute('SELECT * FROM jobs')"
    path = tmp_path / "user" / "api.sqlite3"
    other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert "database is locked" in other.stderr


def test_only_the_user_can_read_it(store, tmp_path):
    path = tmp_path / "user" / "api.sqlite3"
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o077 == 0


def test_it_is_not_where_comfyui_hands_files_out():
    import folder_paths

    home = folder_paths.get_system_user_directory("ensemble")
    assert folder_paths.get_public_user_directory("__ensemble") is None
    assert home.endswith("__ensemble")


def test_a_file_that_is_no_journal_is_refused(tmp_path):
    import sqlite3

    path = tmp_path / "api.sqlite3"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        JobStore(path)
