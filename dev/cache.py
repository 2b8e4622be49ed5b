"""The cache folder that every clone of a user shares: where it is, and who may write to it."""

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cache_folder() -> Path:
    """`ENSEMBLE_CACHE`, else the platform's cache folder; shared by every clone of this user."""
    chosen = os.environ.get("ENSEMBLE_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return home / "ensemble-portraits"


def digest(*parts: bytes) -> str:
    """12 hex digits that change when any part does."""
    total = hashlib.sha256()
    for part in parts:
        # Text files may be checked out with either line end; both are the same engine.
        total.update(part.replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()[:12]


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold `path` exclusively; while another process has it, say so once and wait.

    The operating system drops the lock when its holder dies.
    """
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
