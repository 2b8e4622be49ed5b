"""The API over workers with real ComfyUIs: kill -9 of the accepting one in the middle of a load."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.api import Load, run_with_kill
from dev.base import engine_of_this_python, make_base
from dev.cache import ROOT
from dev.server import free_port, is_free

from .conftest import environment

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux alone"),
]
CLIENTS, EACH = 3, 5


@contextmanager
def head() -> Iterator[str]:
    """`farm head` with two GPUs that are none; its address."""
    engine, port = engine_of_this_python(), free_port()
    command = [sys.executable, str(ROOT / "farm"), "head", "--address", f"127.0.0.1:{port}"]
    command += ["--gpus", "2", "--comfyui", str(engine.comfyui), "--python", str(engine.python)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while is_free(port):
            assert process.poll() is None
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def check(cluster: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="ensemble-many-") as folder,
        environment(ENSEMBLE_API_CLUSTER=cluster, ENSEMBLE_API_CLUSTER_GPUS="2"),
    ):
        models = (Path(os.environ["ENSEMBLE_BASE"]) / "models").resolve()
        base, port = make_base(Path(folder), models), free_port()
        load = Load(f"http://127.0.0.1:{port}", CLIENTS, EACH)
        facts = run_with_kill(load, base, port)
    print(facts)
    for name in ("submitted", "jobs", "succeeded", "pictures", "links"):
        assert facts[name] == CLIENTS * EACH, (name, facts)
    assert facts["lost"] == facts["with two pictures"] == 0


def test_nothing_is_lost_or_twice_where_workers_outlive_the_one_that_takes_jobs_in():
    with head() as address:
        check(address)


def test_nothing_is_lost_or_twice_on_this_machines_own_gpus():
    check("local")
