import signal
import subprocess
import sys
import time

import pytest

from dev.cache import ROOT, file_lock

HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from dev.cache import file_lock
with file_lock(Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(float(sys.argv[3]))
"""


INSTALLER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from dev.cache import file_lock
from dev.packages import stream
with file_lock(Path(sys.argv[2])):
    print("held", flush=True)
    stream([sys.executable, "-c", f"import time; time.sleep(2); open({sys.argv[2] + '.end'!r}, 'w')"])
"""


def hold(path, seconds: float, script: str = HOLDER) -> subprocess.Popen:
    """Another process that has the lock by the time this returns."""
    command = [sys.executable, "-c", script, str(ROOT), str(path), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_holder_waits_and_says_so(tmp_path, capsys):
    path = tmp_path / "cache" / "x.lock"
    other = hold(path, 1.0)
    with file_lock(path):
        # The other had to end its block first.
        assert other.wait() == 0
    assert "waiting" in capsys.readouterr().out


def test_a_free_lock_is_silent(tmp_path, capsys):
    for _ in range(2):
        with file_lock(tmp_path / "x.lock"):
            pass
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_holder_leaves_no_lock(tmp_path):
    path = tmp_path / "x.lock"
    other = hold(path, 600)
    started = time.monotonic()
    other.send_signal(signal.SIGKILL)
    other.wait()
    with file_lock(path):
        # Not after the 600 seconds it meant to hold it.
        assert time.monotonic() - started < 60


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and descriptors")
def test_an_installer_that_outlives_its_caller_is_waited_for(tmp_path):
    path = tmp_path / "x.lock"
    caller = hold(path, 0, INSTALLER)
    # The installer must have begun, or there is nothing to outlive.
    time.sleep(0.5)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    with file_lock(path):
        assert (tmp_path / "x.lock.end").exists()
