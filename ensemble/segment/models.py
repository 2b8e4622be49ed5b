"""Finding model files and folders under ComfyUI's `models/`, and loading each of them once."""

import atexit
import fnmatch
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
import torch

logger = logging.getLogger(__name__)

FOLDER = "segmentation"
# Enough for every backend one recipe can want at a time; the least recently used one goes.
KEPT = 6
_loaded: OrderedDict[tuple, Any] = OrderedDict()
# A patcher that outlives ComfyUI's own modules fails in its __del__ and says so on the console.
atexit.register(_loaded.clear)


@dataclass(frozen=True)
class Loaded:
    """A transformers model under ComfyUI's memory management, with its processor."""

    patcher: Any
    processor: Any

    def on_device(self) -> tuple[Any, torch.device]:
        """The model, moved to the device ComfyUI chose for it, and that device."""
        from comfy import model_management

        model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.net, self.patcher.load_device


def signature(path: Path) -> tuple:
    """(path, mtime, size) of a file, or of each file that decides what a model folder holds."""
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in (".json", ".safetensors"))
    stats = [(f, f.stat()) for f in files]
    return tuple((str(f), stat.st_mtime_ns, stat.st_size) for f, stat in stats)


def load_once(kind: str, path: Path, load: Callable[[Path], Any]) -> Any:
    """`load(path)`, kept while the files under `path` stay the same. At most KEPT are kept."""
    key = (kind, signature(path))
    if key not in _loaded:
        _loaded[key] = load(path)
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def find_file(folder: str, *patterns: str) -> Path | None:
    """The first file of a ComfyUI model folder whose name fits a pattern, patterns in order."""
    names = sorted(folder_paths.get_filename_list(folder))
    for pattern in patterns:
        for name in names:
            if fnmatch.fnmatch(Path(name).name.lower(), pattern):
                return Path(folder_paths.get_full_path_or_raise(folder, name))
    return None


def _config(folder: Path) -> dict:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        logger.warning("models/%s/%s is left out: its config.json: %s", FOLDER, folder.name, error)
        return {}
    return config if isinstance(config, dict) else {}


def find_folder(wanted: Callable[[dict], bool]) -> Path | None:
    """The first folder in models/segmentation whose config.json is wanted, whatever its name."""
    for root in folder_paths.get_folder_paths(FOLDER):
        for config in sorted(Path(root).glob("*/config.json")):
            if wanted(_config(config.parent)):
                return config.parent
    return None


class _Held(torch.nn.Module):
    """ModelPatcher keeps the current device on the module, where transformers has a read-only
    property of the same name."""

    def __init__(self, net: torch.nn.Module):
        super().__init__()
        self.net = net


def load_folder(path: Path, model_class: str) -> Loaded:
    """A transformers model and its processor from a local folder, safetensors only.

    Raises ValueError naming the folder where it is not whole: transformers itself fills weights
    that are missing with random numbers.
    """
    return load_once(model_class, path, lambda path: _read_folder(path, model_class))


def _read_folder(path: Path, model_class: str) -> Loaded:
    import transformers
    from comfy import model_management, model_patcher

    try:
        processor = transformers.AutoProcessor.from_pretrained(path, local_files_only=True)
        model, info = getattr(transformers, model_class).from_pretrained(
            path,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:
        raise ValueError(
            f"The model folder models/{FOLDER}/{path.name} cannot be read as {model_class}: "
            f"{error} Download it again (config.json, the processor's .json files, "
            f"model.safetensors), or remove it."
        ) from error
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ValueError(
            f"The model folder models/{FOLDER}/{path.name} lacks {len(info['missing_keys'])} "
            f"weights of {model_class} ({some}, …). Download its model.safetensors again."
        )
    held = _Held(model.eval())
    patcher = model_patcher.ModelPatcher(
        held,
        load_device=model_management.text_encoder_device(),
        offload_device=model_management.text_encoder_offload_device(),
        size=model_management.module_size(held),
    )
    return Loaded(patcher, processor)


def to_bytes(image: torch.Tensor) -> list[torch.Tensor]:
    """IMAGE `[B,H,W,3]` -> B pictures `[3,H,W]` uint8, the form every processor was made for."""
    return list((image * 255).round().clamp(0, 255).to(torch.uint8).movedim(-1, 1).cpu())
