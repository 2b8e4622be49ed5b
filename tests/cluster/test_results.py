import json
import os
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.cluster import results as module
from ensemble_portraits.ensemble.cluster.results import Results


def test_pictures_and_their_record(tmp_path):
    found = Results(tmp_path)
    names = found.publish("k", "ann-k", [("x_1_.PNG", b"a"), ("y.webp", b"b")], {"seconds": 2})
    assert names == ["ann-k_01.png", "ann-k_02.webp"]
    assert (tmp_path / "ann-k_02.webp").read_bytes() == b"b"
    record = json.loads((tmp_path / "records" / "k.json").read_text())
    assert record == {"key": "k", "files": names, "seconds": 2}
    assert found.done() == {"k"}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(9))
def test_a_crash_at_any_step_leaves_a_job_done_or_not(tmp_path, monkeypatch, at):
    """Steps that the disk sees: opening, syncing and renaming of two pictures and a record."""
    steps = 0

    def step(original):
        def call(*arguments, **more):
            nonlocal steps
            steps += 1
            if steps > at:
                raise Killed
            return original(*arguments, **more)

        return call

    monkeypatch.setattr(Path, "open", step(Path.open))
    monkeypatch.setattr(os, "fsync", step(os.fsync))
    monkeypatch.setattr(Path, "replace", step(Path.replace))
    with pytest.raises(Killed):
        Results(tmp_path).publish("k", "s", [("a.png", b"a"), ("b.png", b"b")], {})
    monkeypatch.undo()
    again = Results(tmp_path)
    assert again.done() == set()
    assert not list(tmp_path.rglob("*.part"))
    again.publish("k", "s", [("a.png", b"a"), ("b.png", b"b")], {})
    assert again.done() == {"k"}
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["s_01.png", "s_02.png"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        Results(tmp_path).publish("k", "s", [("a.png", b"a")], {})
    assert not list(tmp_path.glob("*.png*"))


def test_a_record_without_its_picture_is_not_done(tmp_path):
    found = Results(tmp_path)
    found.publish("k", "s", [("a.png", b"a")], {})
    (tmp_path / "s_01.png").unlink()
    (tmp_path / "records" / "half.json").write_text('{"files": [')
    assert found.done() == set()
