"""Loads the pack as `ensemble_portraits` on top of a real ComfyUI, which `python dev test` names in COMFYUI_PATH."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _load_comfyui() -> None:
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options

    comfy.options.enable_args_parsing(False)
    import torch
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()


def _load_pack() -> None:
    spec = importlib.util.spec_from_file_location(
        "ensemble_portraits", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["ensemble_portraits"] = module
    spec.loader.exec_module(module)


_load_comfyui()
_load_pack()
