"""The small models, made once per state of their makers and shared by every clone."""

import shutil
import subprocess
from pathlib import Path

from .cache import ROOT, cache_folder, digest
from .engine import Engine
from .errors import DevError
from .lock import file_lock

MAKERS = ROOT / "dev" / "models"


def models_folder() -> Path:
    """Where the models of this clone's makers lie, once made."""
    sources = sorted(MAKERS.glob("*.py"))
    key = digest(*(part for path in sources for part in (path.name.encode(), path.read_bytes())))
    return cache_folder() / f"models-{key}"


def small_models(engine: Engine) -> Path:
    """Make them if they are not there. A half-made set is thrown away: only a whole one gets its name."""
    folder = models_folder()
    if folder.is_dir():
        return folder
    with file_lock(cache_folder() / "models.lock"):
        if folder.is_dir():
            return folder
        print(
            "Making small models with random weights (about 0.4 GB, half a minute) ...", flush=True
        )
        unfinished = folder.with_name(folder.name + ".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        made = subprocess.run(
            [str(engine.python), str(MAKERS), str(engine.comfyui), str(unfinished)],
            env=engine.environment(),
            check=False,
        )
        if made.returncode != 0:
            raise DevError(f"making the small models failed (code {made.returncode}, see above)")
        unfinished.rename(folder)
    return folder
