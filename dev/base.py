"""A base directory for ComfyUI: this clone as its one custom node, and the small models."""

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

from . import DevError
from .build import built_comfyui
from .cache import ROOT, cache_folder, digest, file_lock
from .engine import Engine
from .packages import stream

PACK_FOLDER = "ensemble-portraits"
ALIASES = ROOT / "dev" / "aliases.json"
MAKERS = ROOT / "dev" / "models"
DOLLS = ROOT / "dolls"
KEEP_SECONDS = 14 * 24 * 3600


def engine_of_this_python() -> Engine:
    """For code that already runs inside an engine's Python, such as pytest."""
    named = os.environ.get("COMFYUI_PATH")
    comfyui = Path(named) if named else built_comfyui()
    if not (comfyui / "main.py").is_file():
        raise DevError("no ComfyUI to test on: run `python dev test`, or set COMFYUI_PATH")
    return Engine(Path(sys.executable), comfyui, given=True)


def prepare_base(engine: Engine) -> Path:
    """This clone's base directory with the small models, made if they are missing; outside the
    clone, so that no run dirties it."""
    models = small_models(engine)
    name = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]
    with file_lock(cache_folder() / "clones.lock"):
        return make_base(cache_folder() / "clones" / name, models)


def make_base(base: Path, models: Path, pack: Path = ROOT) -> Path:
    """Create or refresh `base` with `pack` as its custom node; files of the user's own stay."""
    for name in ("custom_nodes", "input", "output", "temp"):
        (base / name).mkdir(parents=True, exist_ok=True)
    link_folder(base / "custom_nodes" / PACK_FOLDER, pack)
    link_folder(base / "models", models)
    _write_aliases(base / "user" / "default" / "ensemble" / "aliases.json")
    return base


def link_folder(link: Path, target: Path) -> None:
    """Make `link` lead to `target`: a symlink, on Windows a junction (needs no administrator)."""
    if link.exists() and link.resolve() == target.resolve():
        return
    if link.is_symlink() or link.exists():
        # A junction is removed by rmdir, and only the link goes; a real folder with files refuses.
        link.unlink() if link.is_symlink() else link.rmdir()
    link.parent.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        import _winapi

        _winapi.CreateJunction(str(target), str(link))
    else:
        link.symlink_to(target, target_is_directory=True)


def _write_aliases(path: Path) -> None:
    """Our aliases, with the entries that were already there on top."""
    aliases = json.loads(ALIASES.read_text(encoding="utf-8"))
    if path.exists():
        try:
            own = json.loads(path.read_text(encoding="utf-8"))
            for section, entries in own.items():
                aliases[section] = {**aliases.get(section, {}), **entries}
        except (ValueError, TypeError, AttributeError) as error:
            raise DevError(f"{path} cannot be read ({error}); mend or delete it") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(aliases, indent=2) + "\n", encoding="utf-8")


def small_models(engine: Engine) -> Path:
    """The small models, made once per state of their makers and shared by every clone. Only a whole
    set gets its name; half of one is thrown away."""
    sources = sorted((*MAKERS.glob("*.py"), *MAKERS.glob("*.json"), *DOLLS.rglob("*.py"),
                      *(DOLLS / "weights").glob("*.safetensors")))  # fmt: skip
    key = digest(*(part for path in sources for part in (path.name.encode(), path.read_bytes())))
    folder = cache_folder() / f"models-{key}"
    if not folder.is_dir():
        with file_lock(cache_folder() / "models.lock"):
            if not folder.is_dir():
                _make_models(engine, folder)
                _forget_old_models(folder)
    os.utime(folder)
    return folder


def _make_models(engine: Engine, folder: Path) -> None:
    print("Making small models (about 0.8 GB, half a minute) ...", flush=True)
    unfinished = folder.with_name(folder.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    command = [str(engine.python), str(MAKERS), str(engine.comfyui), str(unfinished)]
    code, output = stream(command, {**engine.environment(), "TQDM_DISABLE": "1"})
    if code != 0:
        raise DevError(f"making the small models failed: {(output.splitlines() or [''])[-1]}")
    unfinished.rename(folder)


def _forget_old_models(current: Path) -> None:
    """Remove sets of other states of the makers that no call has used for two weeks."""
    for folder in current.parent.glob("models-*/"):
        if folder != current and time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
