"""Models that are folders in Hugging Face's layout, under ComfyUI's `models/`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths
import torch

from ..segment.models import load_once


@dataclass(frozen=True)
class FolderModel:
    """A torch module under ComfyUI's memory management, and what prepares its input."""

    patcher: Any
    processor: Any

    def on_device(self) -> tuple[Any, torch.device]:
        """The module on the device that ComfyUI chose for it, and that device."""
        from comfy import model_management

        model_management.load_models_gpu([self.patcher], force_full_load=True)
        return self.patcher.model.net, self.patcher.load_device


class _Holder(torch.nn.Module):
    """ModelPatcher writes `device` on its module, which transformers keeps read-only."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net


def model_folders(kind: str) -> list[str]:
    """Names of the model folders in `models/<kind>`, those with a config.json."""
    found = {
        config.parent.name
        for root in folder_paths.get_folder_paths(kind)
        for config in Path(root).glob("*/config.json")
    }
    return sorted(found)


def load_folder(
    kind: str, name: str, read: Callable[[Path], tuple[torch.nn.Module, Any]]
) -> FolderModel:
    """The model in `models/<kind>/<name>`, read once while its files stay the same.

    Raises ValueError for a name that is not listed there, or a folder that cannot be read.
    """
    listed = model_folders(kind)
    if name not in listed:
        known = ", ".join(listed) or f"none; put its folder into models/{kind}"
        raise ValueError(f"{name!r} is no model folder in models/{kind}. There: {known}")
    roots = [Path(root) / name for root in folder_paths.get_folder_paths(kind)]
    path = next(root for root in roots if (root / "config.json").is_file())
    return load_once(kind, path, lambda folder: _managed(kind, folder, read))


def _managed(
    kind: str, path: Path, read: Callable[[Path], tuple[torch.nn.Module, Any]]
) -> FolderModel:
    from comfy import model_management, model_patcher

    try:
        net, processor = read(path)
    except Exception as error:  # transformers, safetensors and json each raise their own
        raise ValueError(
            f"models/{kind}/{path.name} cannot be read: {error}. Download its config.json, its "
            "tokenizer or processor files and model.safetensors again"
        ) from error
    held = _Holder(net.eval())
    patcher = model_patcher.ModelPatcher(
        held,
        load_device=model_management.text_encoder_device(),
        offload_device=model_management.text_encoder_offload_device(),
        size=model_management.module_size(held),
    )
    return FolderModel(patcher, processor)


def complete(loaded: tuple[torch.nn.Module, dict]) -> torch.nn.Module:
    """The net of a `from_pretrained(..., output_loading_info=True)`.

    Raises ValueError where weights are missing: transformers would fill them with random numbers.
    """
    net, info = loaded
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise ValueError(f"{len(info['missing_keys'])} weights are missing ({missing}, …)")
    return net
