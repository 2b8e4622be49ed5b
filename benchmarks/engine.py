"""What the benchmarks share: their options and tables, ComfyUI in process, full-size models with random
weights, timed sampling."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib.util
import itertools
import json
import math
import os
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# For `dev`; last, because the repository's `nodes` is not ComfyUI's.
sys.path.append(str(ROOT))


def options(about: str | None, quick: str) -> argparse.ArgumentParser:
    """The options that every benchmark has; `about` is its docstring, `quick` what --quick leaves out."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the rows as JSON")
    return parser


def report(rows: list[dict], columns: list[str], file: Path | None) -> None:
    """Print the rows as a table, and write them where `--json` asked for it."""
    print(table(rows, columns))
    write_rows(rows, file)


def write_rows(rows: list[dict], file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def load_module(name: str, file: Path, folder: Path | None = None):
    """A module from a file; `folder` makes it the package whose files lie there."""
    places = [str(folder)] if folder else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=places)
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(base: str | None = None, pytorch_attention: bool = False) -> None:
    """Put the ComfyUI of COMFYUI_PATH on the path and load the pack as `ensemble_portraits`. `base`:
    the folder whose `models` are used; without it ComfyUI's own. pytorch_attention: torch's kernels,
    which core takes by itself on NVIDIA cards only."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options

    comfy.options.enable_args_parsing(False)
    import torch
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    args.use_pytorch_cross_attention = pytorch_attention
    if base:
        args.base_directory = base
    pack = load_module("ensemble_portraits", ROOT / "__init__.py", ROOT)
    if base:
        pack.register_model_folders()  # as ComfyUI does in on_load


SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1, "context_dim": 768, "num_heads": 8, "num_head_channels": -1,
    "use_spatial_transformer": True, "use_linear_in_transformer": False, "legacy": False,
    "adm_in_channels": None, "use_temporal_attention": False, "use_temporal_resblock": False,
}  # fmt: skip
SDXL = {
    **SD15, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "transformer_depth_middle": 10,
    "context_dim": 2048, "num_heads": -1, "num_head_channels": 64,
    "use_linear_in_transformer": True, "num_classes": "sequential", "adm_in_channels": 2816,
}  # fmt: skip
TOUCHED = r"(attn\d\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2)|proj_in|proj_out)\.weight$"
"""The 192 layers (SD1.5) that a standard kohya LoRA changes."""


def full_size(name: str, config: dict | None = None):
    """A ModelPatcher with random weights: float32 on a CPU, float16 on a GPU."""
    import comfy.model_management as management
    import comfy.supported_models as supported
    import torch
    from comfy.model_patcher import ModelPatcher

    kind, whole = (supported.SD15, SD15) if name == "sd15" else (supported.SDXL, SDXL)
    config = config or whole
    dtype = torch.float16 if torch.cuda.is_available() else torch.float32
    parts = kind(dict(config))
    parts.unet_config["dtype"] = dtype
    parts.set_inference_dtype(dtype, None)
    device = management.get_torch_device()
    model = parts.get_model({}, "", device=device)
    with torch.no_grad():
        for key, parameter in model.diffusion_model.named_parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 1 / math.sqrt(parameter[0].numel()))
            else:
                parameter.fill_(1.0 if key.endswith("weight") else 0.0)
    return ModelPatcher(model, load_device=device, offload_device=torch.device("cpu"))


def random_lora(patcher, seed: int, rank: int, size: float = 0.02, touched: str = TOUCHED) -> dict:
    """A LoRA of the layers whose names match `touched`; by default those of a standard kohya one."""
    layers = {
        f"diffusion_model.{name.removesuffix('.weight')}": weight.shape
        for name, weight in patcher.model.diffusion_model.named_parameters()
        if re.search(touched, name)
    }
    return lora_of(layers, seed, rank, size)


def lora_of(layers: dict, seed: int, rank: int, size: float) -> dict:
    """Random factors for layers given as name -> shape, drawn with standard deviation `size`."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in layers.items():
        tail = [1] * (len(shape) - 2)
        state[f"{name}.lora_down.weight"] = (
            torch.randn(rank, shape[1], *tail, generator=generator) * size
        )
        state[f"{name}.lora_up.weight"] = (
            torch.randn(shape[0], rank, *tail, generator=generator) * size
        )
        state[f"{name}.alpha"] = torch.tensor(float(rank))
    return state


def parsed(patcher, state: dict) -> dict:
    """A LoRA's tensors as core's adapters by the model's own keys."""
    import comfy.lora

    keys = comfy.lora.model_lora_keys_unet(patcher.model, {})
    return comfy.lora.load_lora(state, keys, log_missing=False)


def random_text(model: str, seed: int):
    """What the model's encoder would give for a text, random."""
    import dits
    import torch
    from ensemble_portraits.ensemble.regional.people import Text

    shape = dits.shape_of(model)
    generator = torch.Generator().manual_seed(seed)
    values = {}
    if shape.pooled:
        values["pooled_output"] = torch.randn(1, shape.pooled, generator=generator)
    context = torch.randn(1, shape.tokens, shape.width, generator=generator)
    return Text(str(seed), [[context, values]])


def random_people(patcher, model: str, loras: list[dict], masks, **options):
    """People with a random text and one of the (parsed) LoRAs each, in the regions of `masks`."""
    from ensemble_portraits.ensemble.regional.changes import LoraPatch
    from ensemble_portraits.ensemble.regional.people import People, Person

    people = tuple(
        Person(
            random_text(model, 10 + i), random_text(model, 30 + i), (str(i),),
            {key: (LoraPatch(adapter, 1.0),) for key, adapter in lora.items()}, mask,
        )
        for i, (lora, mask) in enumerate(zip(loras, masks, strict=True))
    )  # fmt: skip
    base, negative = random_text(model, 1), random_text(model, 2)
    return People(patcher, None, base, negative, "", people, **options)  # type: ignore[arg-type]


@contextmanager
def counted(module) -> Iterator[list[int]]:
    """The batch sizes of the calls of a module while the block runs."""
    calls: list[int] = []

    def note(_, args, kwargs):
        calls.append((args[0] if args else kwargs["x"]).shape[0])

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def give_back() -> None:
    """What earlier runs freed goes back to the system, or a later run would seem to need nothing."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def peak_memory() -> Iterator[dict]:
    """`bytes` above what was in use before: allocated on a GPU, resident on a CPU (sampled at 50
    Hz)."""
    import psutil
    import torch

    result = {"bytes": 0}
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield result
        result["bytes"] = torch.cuda.max_memory_allocated() - before
        return
    give_back()
    process = psutil.Process()
    before, done = process.memory_info().rss, threading.Event()

    def watch():
        while not done.wait(0.02):
            result["bytes"] = max(result["bytes"], process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield result
    finally:
        done.set()
        thread.join()


def sample(model, positive, negative, noise, steps: int, cfg: float = 7.0, callback=None):
    """The latent after one run of core's KSampler, euler, from an empty latent."""
    import comfy.sample
    import torch

    return comfy.sample.sample(
        model, noise, steps, cfg, "euler", "normal", positive, negative, torch.zeros_like(noise),
        seed=7, disable_pbar=True, callback=callback,
    )  # fmt: skip


def timed_sample(
    model, positive, negative, noise, steps: int, *, cfg: float = 7.0, clock: str = "wall"
) -> list[float]:
    """Seconds of each step of one run; the first includes loading and patching. The processor's
    clock does not count what others do on the machine."""
    moments = []

    def tick(*_):
        synchronise()
        moments.append(time.perf_counter() if clock == "wall" else time.process_time())

    tick()
    sample(model, positive, negative, noise, steps, cfg=cfg, callback=tick)
    return [b - a for a, b in itertools.pairwise(moments)]


def synchronise() -> None:
    """Wait for the GPU, if there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def interleaved(runs: dict[str, Callable[[], None]], rounds: int) -> None:
    """Every run once per round, so that a drift of the machine's speed meets all of them alike."""
    for _ in range(rounds):
        for run in runs.values():
            run()


def median(values: list[float]) -> float:
    return statistics.median(values)


def table(rows: list[dict], columns: list[str]) -> str:
    """A Markdown table of the rows, floats with four digits."""
    shown = [[_cell(row.get(c)) for c in columns] for row in rows]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(cells) + " |" for cells in shown])


def _cell(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
