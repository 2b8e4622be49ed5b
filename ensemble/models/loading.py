"""Finding model files and folders under ComfyUI's `models/<category>`, and loading each of them once."""

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

# Enough for all that one recipe can want at a time; the least recently used one goes.
KEPT = 8
_loaded: OrderedDict[tuple, Any] = OrderedDict()
# A patcher that outlives ComfyUI's own modules fails in its __del__ and says so on the console.
atexit.register(_loaded.clear)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model under ComfyUI's memory management, with its processor if it has one."""

    patcher: Any
    processor: Any = None

    def on_device(self, memory: float = 0.0) -> tuple[Any, torch.device]:
        """The model, moved to the device ComfyUI chose for it, and that device. `memory`: bytes
        that it needs there to run, beside its weights."""
        from comfy import model_management

        model_management.load_models_gpu(
            [self.patcher], memory_required=memory, force_full_load=True
        )
        return self.patcher.model.net, self.patcher.load_device


class _Held(torch.nn.Module):
    """ModelPatcher keeps the current device on the module, where transformers has a read-only
    property of the same name."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net


def manage(
    net: torch.nn.Module,
    processor: Any = None,
    *,
    load_device: torch.device | None = None,
    offload_device: torch.device | None = None,
) -> Loaded:
    """Put a model under ComfyUI's memory management; without devices on those of text encoders."""
    from comfy import model_management, model_patcher

    held = _Held(net.train(False))
    patcher = model_patcher.ModelPatcher(
        held,
        load_device=load_device or model_management.text_encoder_device(),
        offload_device=offload_device or model_management.text_encoder_offload_device(),
        size=model_management.module_size(held),
    )
    return Loaded(patcher, processor)


def signature(path: Path) -> tuple:
    """(path, mtime, size) of a file, or of each file that decides what a model folder holds."""
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in (".json", ".safetensors"))
    stats = [(f, f.stat()) for f in files]
    return tuple((str(f), stat.st_mtime_ns, stat.st_size) for f, stat in stats)


def load_once(loader: str, path: Path, load: Callable[[Path], Any]) -> Any:
    """`load(path)`, kept while the files under `path` stay the same. At most KEPT are kept."""
    key = (loader, signature(path))
    if key not in _loaded:
        _loaded[key] = load(path)
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def find_file(category: str, *patterns: str) -> Path | None:
    """The first file of `models/<category>` whose name fits a pattern, patterns in order."""
    names = sorted(folder_paths.get_filename_list(category))
    for pattern in patterns:
        for name in names:
            if fnmatch.fnmatch(Path(name).name.lower(), pattern):
                return Path(folder_paths.get_full_path_or_raise(category, name))
    return None


def model_folders(category: str) -> list[Path]:
    """Folders of `models/<category>` with a config.json, by name in each root."""
    roots = folder_paths.get_folder_paths(category)
    return [c.parent for root in roots for c in sorted(Path(root).glob("*/config.json"))]


def folder_names(category: str) -> list[str]:
    """Names of the model folders of `models/<category>`."""
    return sorted({folder.name for folder in model_folders(category)})


def named_folder(category: str, name: str) -> Path:
    """The folder `models/<category>/<name>`. ValueError for a name that folder_names does not list."""
    found = next((folder for folder in model_folders(category) if folder.name == name), None)
    if found is None:
        known = ", ".join(folder_names(category)) or f"none; put its folder into models/{category}"
        raise ValueError(f"{name!r} is no model folder in models/{category}. There: {known}")
    return found


def find_folder(category: str, wanted: Callable[[dict[str, Any]], bool]) -> Path | None:
    """The first folder in `models/<category>` whose config.json is wanted, whatever its name."""
    return next((f for f in model_folders(category) if wanted(config_of(category, f))), None)


def config_of(category: str, folder: Path) -> dict[str, Any]:
    """Its config.json; empty, with a warning, where that cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        logger.warning(
            "models/%s/%s is left out: its config.json: %s", category, folder.name, error
        )
        return {}
    return config if isinstance(config, dict) else {}


def load_folder(
    category: str, folder: Path, model: str | type, processor: str = "AutoProcessor"
) -> Loaded:
    """A model and its processor from a folder of `models/<category>`, safetensors only: classes of
    transformers by name, or a model class like them.

    Raises ValueError naming the folder where it is not whole: transformers itself fills weights
    that are missing with random numbers.
    """
    place = f"models/{category}/{folder.name}"
    name = model if isinstance(model, str) else model.__name__
    return load_once(name, folder, lambda path: _read(path, model, processor, place))


def _read(folder: Path, model: str | type, processor: str, place: str) -> Loaded:
    import transformers

    model_class: Any = getattr(transformers, model) if isinstance(model, str) else model
    name = model_class.__name__
    try:
        prepare = getattr(transformers, processor).from_pretrained(folder, local_files_only=True)
        net, info = model_class.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # transformers, safetensors and json each raise their own
        raise ValueError(
            f"The model folder {place} cannot be read as {name}: {error} Download "
            "it again (config.json, the processor's .json files, model.safetensors), or remove it."
        ) from error
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ValueError(
            f"The model folder {place} lacks {len(info['missing_keys'])} weights of "
            f"{name} ({some}, …). Download its model.safetensors again."
        )
    return manage(net, prepare)
