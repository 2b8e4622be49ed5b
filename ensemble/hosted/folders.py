"""Models that are folders in Hugging Face's layout, under ComfyUI's `models/`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..models import loading
from ..models.loading import Loaded, load_once, manage


def model_folders(kind: str) -> list[str]:
    """Names of the model folders in `models/<kind>`, those with a config.json."""
    return sorted({folder.name for folder in loading.model_folders(kind)})


def load_folder(
    kind: str, name: str, read: Callable[[Path], tuple[torch.nn.Module, Any]]
) -> Loaded:
    """The model in `models/<kind>/<name>`, read once while its files stay the same.

    Raises ValueError for a name that is not listed there, or a folder that cannot be read.
    """
    listed = model_folders(kind)
    if name not in listed:
        known = ", ".join(listed) or f"none; put its folder into models/{kind}"
        raise ValueError(f"{name!r} is no model folder in models/{kind}. There: {known}")
    path = next(folder for folder in loading.model_folders(kind) if folder.name == name)
    return load_once(kind, path, lambda folder: _managed(kind, folder, read))


def _managed(kind: str, path: Path, read: Callable[[Path], tuple[torch.nn.Module, Any]]) -> Loaded:
    try:
        net, processor = read(path)
    except Exception as error:  # transformers, safetensors and json each raise their own
        raise ValueError(
            f"models/{kind}/{path.name} cannot be read: {error}. Download its config.json, its "
            "tokenizer or processor files and model.safetensors again"
        ) from error
    return manage(net, processor)


def complete(loaded: tuple[torch.nn.Module, dict]) -> torch.nn.Module:
    """The net of a `from_pretrained(..., output_loading_info=True)`.

    Raises ValueError where weights are missing: transformers would fill them with random numbers.
    """
    net, info = loaded
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise ValueError(f"{len(info['missing_keys'])} weights are missing ({missing}, …)")
    return net
