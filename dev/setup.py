"""From nothing to an engine with a base directory, in one call."""

import os
import sys
from pathlib import Path

from .base import clone_base, make_base
from .build import built_comfyui, built_engine
from .cache import cache_folder
from .engine import Engine, given_engine
from .errors import DevError
from .lock import file_lock
from .models_cache import small_models


def prepare_engine() -> Engine:
    """The user's ComfyUI where COMFYUI_PATH names one, else the cached one, built now if need
    be."""
    return given_engine() or built_engine()


def prepare_base(engine: Engine) -> Path:
    """This clone's base directory with the small models, made if they are missing."""
    models = small_models(engine)
    with file_lock(cache_folder() / "clones.lock"):
        return make_base(clone_base(), models)


def engine_of_this_python() -> Engine:
    """For code that already runs inside an engine's Python, such as pytest."""
    named = os.environ.get("COMFYUI_PATH")
    comfyui = Path(named) if named else built_comfyui()
    if not (comfyui / "main.py").is_file():
        raise DevError("no ComfyUI to test on: run `python dev test`, or set COMFYUI_PATH")
    return Engine(Path(sys.executable), comfyui, given=True)
