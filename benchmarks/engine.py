"""What the benchmarks share: ComfyUI in process, full-size models with random weights, timed
sampling."""

from __future__ import annotations

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


def load() -> None:
    """Put the ComfyUI of COMFYUI_PATH on the path and load the pack as `ensemble_portraits`."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options

    comfy.options.enable_args_parsing(False)
    import torch
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    spec = importlib.util.spec_from_file_location(
        "ensemble_portraits", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["ensemble_portraits"] = module
    spec.loader.exec_module(module)


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
    import torch

    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, weight in patcher.model.diffusion_model.named_parameters():
        if not re.search(touched, name):
            continue
        base = f"diffusion_model.{name.removesuffix('.weight')}"
        tail = [1] * (weight.ndim - 2)
        down = torch.randn(rank, weight.shape[1], *tail, generator=generator) * size
        up = torch.randn(weight.shape[0], rank, *tail, generator=generator) * size
        state[f"{base}.lora_down.weight"], state[f"{base}.lora_up.weight"] = down, up
        state[f"{base}.alpha"] = torch.tensor(float(rank))
    return state


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


def timed_sample(
    model, positive, negative, noise, steps: int, sampler: str = "euler", *, cfg: float = 7.0,
    clock: str = "wall",
) -> list[float]:  # fmt: skip
    """Seconds of each step of one KSampler run; the first includes loading and patching. The
    processor's clock does not count what others do on the machine."""
    import comfy.sample
    import torch

    moments = []

    def tick(*_):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        moments.append(time.perf_counter() if clock == "wall" else time.process_time())

    tick()
    comfy.sample.sample(
        model, noise, steps, cfg, sampler, "normal", positive, negative, torch.zeros_like(noise),
        seed=7, disable_pbar=True, callback=tick,
    )  # fmt: skip
    return [b - a for a, b in itertools.pairwise(moments)]


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


def save_rows(rows: list[dict], path: str | None) -> None:
    if path:
        Path(path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
