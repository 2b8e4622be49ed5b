"""Where things are kept: the shared cache folder and what lies in it."""

import hashlib
import os
import sys
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
