"""One set-up at a time: a file lock that the operating system drops when its holder dies."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, 0, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold `path` exclusively; while another process has it, say so once and wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    # An installer outlives a killed `python dev` for a while; until it ends, it holds the lock too.
    os.set_inheritable(handle, True)
    try:
        if not _try_lock(handle):
            print(f"Another set-up is running (lock {path}); waiting for it ...", flush=True)
            while not _try_lock(handle):
                time.sleep(0.5)
        yield
    finally:
        # Closing drops the lock. The file stays: removed, two waiters could hold two of them.
        os.close(handle)
