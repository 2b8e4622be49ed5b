"""`<engine python> dev/models <ComfyUI folder> <models folder>`: make every small model."""

import sys
import time
from importlib import import_module
from pathlib import Path


def main(comfyui: str, models: str) -> None:
    # This folder must not be searched, this repository last: its `nodes` is not ComfyUI's.
    sys.path[0] = comfyui
    sys.path.append(str(Path(__file__).resolve().parent.parent.parent))
    import comfy.options

    comfy.options.enable_args_parsing(False)
    from comfy.cli_args import args

    args.cpu = True
    import torch

    from dev.models.registry import MODULES

    for maker in (
        maker for name in MODULES for maker in import_module(f"dev.models.{name}").MAKERS
    ):
        started = time.perf_counter()
        torch.manual_seed(0)
        maker(Path(models))
        line = maker.__doc__.splitlines()[0]
        print(f"{time.perf_counter() - started:5.1f} s  {line}", flush=True)


main(*sys.argv[1:3])
