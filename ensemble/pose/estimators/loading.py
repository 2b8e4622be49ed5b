"""Folders of transformers models under models/pose_estimation, loaded once each."""

import atexit
import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
import torch

from .base import FOLDER

logger = logging.getLogger(__name__)

# A pose model, a detector and one more pair to compare with.
_KEPT = 4
_loaded: OrderedDict[tuple, Any] = OrderedDict()
# A patcher that outlives ComfyUI's own modules fails in its __del__ and says so on the console.
atexit.register(_loaded.clear)


class _Held(torch.nn.Module):
    """ModelPatcher keeps the current device on the module, where transformers has a read-only
    property of the same name."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model under ComfyUI's memory management, with its processor if it has one."""

    patcher: Any
    processor: Any

    def on_device(self) -> tuple[Any, Any, torch.device]:
        """The model, moved to the device ComfyUI chose for it; its processor; that device."""
        from comfy import model_management

        model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.net, self.processor, self.patcher.load_device


def model_folders() -> list[Path]:
    """Folders of models/pose_estimation with a config.json, by name."""
    roots = folder_paths.get_folder_paths(FOLDER)
    return sorted(c.parent for root in roots for c in Path(root).glob("*/config.json"))


def config_of(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        logger.warning("models/%s/%s is left out: its config.json: %s", FOLDER, folder.name, error)
        return {}
    return config if isinstance(config, dict) else {}


def manage(net: torch.nn.Module, processor: Any = None) -> Loaded:
    """Put a model under ComfyUI's memory management."""
    from comfy import model_management, model_patcher

    held = _Held(net.eval())
    return Loaded(
        model_patcher.ModelPatcher(
            held,
            load_device=model_management.text_encoder_device(),
            offload_device=model_management.text_encoder_offload_device(),
            size=model_management.module_size(held),
        ),
        processor,
    )


def load_once(kind: str, files: list[Path], load: Callable[[], Loaded]) -> Loaded:
    """`load()`, kept while the files stay the same; at most _KEPT, the least recently used goes."""
    stats = [(file, file.stat()) for file in files]
    key = (kind, *((str(f), stat.st_mtime_ns, stat.st_size) for f, stat in stats))
    if key not in _loaded:
        _loaded[key] = load()
        while len(_loaded) > _KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def load_folder(folder: Path, model_class: str) -> Loaded:
    """A transformers model and its image processor from a local folder, safetensors only.

    Raises ValueError naming the folder where it is not whole: transformers itself fills weights
    that are missing with random numbers.
    """
    files = sorted(f for f in folder.iterdir() if f.suffix in (".json", ".safetensors"))
    return load_once(model_class, files, lambda: _read(folder, model_class))


def _read(folder: Path, model_class: str) -> Loaded:
    import transformers

    try:
        processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        model, info = getattr(transformers, model_class).from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:
        raise ValueError(
            f"The folder models/{FOLDER}/{folder.name} cannot be read as {model_class}: {error} "
            "Download it again: config.json, preprocessor_config.json, model.safetensors."
        ) from error
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ValueError(
            f"The folder models/{FOLDER}/{folder.name} lacks {len(info['missing_keys'])} weights "
            f"of {model_class} ({some}, ...). Download its model.safetensors again."
        )
    return manage(model, processor)
