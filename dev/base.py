"""A base directory for ComfyUI: this clone as its one custom node, and the small models."""

import hashlib
import json
import os
import sys
from pathlib import Path

from .cache import ROOT, cache_folder
from .errors import DevError

PACK_FOLDER = "ensemble-portraits"
ALIASES = ROOT / "dev" / "aliases.json"


def clone_base() -> Path:
    """This clone's own base directory, outside the clone so that no run dirties it."""
    name = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]
    return cache_folder() / "clones" / name


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


def make_base(base: Path, models: Path) -> Path:
    """Create or refresh `base`; files of the user's own in it stay."""
    for name in ("custom_nodes", "input", "output", "temp"):
        (base / name).mkdir(parents=True, exist_ok=True)
    link_folder(base / "custom_nodes" / PACK_FOLDER, ROOT)
    link_folder(base / "models", models)
    _write_aliases(base / "user" / "default" / "ensemble" / "aliases.json")
    return base


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
