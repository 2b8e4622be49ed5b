"""kill -9 in the middle of a load, once and again and again: nothing lost, nothing run twice."""

import os
import signal
import tempfile
from pathlib import Path

import pytest

from benchmarks.api import Load, run_with_kill, run_with_kills
from dev.base import make_base
from dev.server import free_port

CLIENTS, EACH = 6, 5


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on Windows")
def test_nothing_is_lost_or_run_twice_over_a_kill():
    with tempfile.TemporaryDirectory(prefix="ensemble-kill-") as folder:
        models = (Path(os.environ["ENSEMBLE_BASE"]) / "models").resolve()
        base, port = make_base(Path(folder), models), free_port()
        load = Load(f"http://127.0.0.1:{port}", CLIENTS, EACH)
        facts = run_with_kill(load, base, port)
    asked = CLIENTS * EACH
    assert facts["accepted before the kill"] > facts["done before the kill"]
    for name in ("submitted", "jobs", "succeeded", "pictures", "links"):
        assert facts[name] == asked, (name, facts)
    assert facts["lost"] == facts["with two pictures"] == 0
    for name, answer in load.done.items():
        # The links of the first answer are those of the end.
        assert answer["output"] == load.answers[name]["future_links"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on Windows")
def test_nothing_is_lost_or_run_twice_over_ten_minutes_of_kills():
    """ENSEMBLE_KILL_SECONDS makes it shorter."""
    seconds = float(os.environ.get("ENSEMBLE_KILL_SECONDS", "600"))
    with tempfile.TemporaryDirectory(prefix="ensemble-kills-") as folder:
        models = (Path(os.environ["ENSEMBLE_BASE"]) / "models").resolve()
        base, port = make_base(Path(folder), models), free_port()
        load = Load(f"http://127.0.0.1:{port}", CLIENTS, 10_000)
        facts = run_with_kills(load, base, port, seconds)
    print(facts)
    assert facts["kills"] >= seconds / 120
    for name in ("jobs", "succeeded", "pictures", "links"):
        assert facts[name] == facts["submitted"], (name, facts)
    assert facts["lost"] == facts["with two pictures"] == 0
