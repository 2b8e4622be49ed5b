"""The small models, made once per state of their makers and shared by every clone."""

import os
import shutil
import time
from pathlib import Path

from .cache import ROOT, cache_folder, digest
from .engine import Engine
from .errors import DevError
from .lock import file_lock
from .packages import stream

MAKERS = ROOT / "dev" / "models"
KEEP_SECONDS = 14 * 24 * 3600


def models_folder() -> Path:
    """Where the models of this clone's makers lie, once made."""
    sources = sorted(MAKERS.glob("*.py"))
    key = digest(*(part for path in sources for part in (path.name.encode(), path.read_bytes())))
    return cache_folder() / f"models-{key}"


def small_models(engine: Engine) -> Path:
    """Made if they are not there. Only a whole set gets its name; half of one is thrown away."""
    folder = models_folder()
    if not folder.is_dir():
        with file_lock(cache_folder() / "models.lock"):
            if not folder.is_dir():
                _make(engine, folder)
                _forget_old(folder)
    os.utime(folder)
    return folder


def _make(engine: Engine, folder: Path) -> None:
    print("Making small models with random weights (about 0.4 GB, half a minute) ...", flush=True)
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    command = [str(engine.python), str(MAKERS), str(engine.comfyui), str(unfinished)]
    code, output = stream(command, {**engine.environment(), "TQDM_DISABLE": "1"})
    if code != 0:
        raise DevError(f"making the small models failed: {(output.splitlines() or [''])[-1]}")
    unfinished.rename(folder)


def _forget_old(current: Path) -> None:
    """Sets of other states of the makers that no call has used for two weeks."""
    for folder in current.parent.glob("models-*/"):
        if folder != current and time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
