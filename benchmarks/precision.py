"""What people cost in memory and calls, by the precision of the weights and by method.

    python dev bench precision [--quick] [--json FILE] [--size 256x192] [--people 2] [--rank 16]
                               [--precisions fp32 bf16 "fp8 scaled" …] [--methods …]

Full-size SD1.5 UNet, random weights, CFG 7, euler, two steps; every cell in a process of its own, so
that none profits from what another left. `without` has nobody's LoRA; `merged` is core's loader with
everybody's LoRA at once (which cannot tell people apart); `saved_bytes` is what a method needs less
than `merged` above the model itself. Formats and stand-ins: dev/quantised.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import engine
import regional

METHODS = ("without", "fused", "exact", "merged")
COLUMNS = [
    "precision", "method", "model_bytes", "peak_memory_bytes", "saved_bytes", "model_calls",
    "seconds_per_step",
]  # fmt: skip


def run_of(scene: regional.Scene, method: str):
    """Model and conditioning for a sampler."""
    if method in ("fused", "exact"):
        return getattr(scene, method)()
    texts = scene.scenes["fused"]
    model = scene.patcher.clone()
    if method == "merged":
        for i in range(scene.people):
            model.add_patches(scene.parsed(i), 1.0)
    return model, texts.base.conditioning, texts.negative.conditioning


def measure(precision: str, method: str, size: tuple[int, int], people: int, rank: int) -> dict:
    """One cell, in this process."""
    import torch

    from dev.quantised import quantised

    with torch.inference_mode():
        patcher = quantised(lambda: engine.full_size("sd15"), precision)[0]
        scene = regional.Scene(patcher, "sd15", *size, rank, people)
        model, positive, negative = run_of(scene, method)
        net = patcher.model.diffusion_model
        stored = sum(t.nbytes for t in net.state_dict().values())
        # The model is loaded before, so that what is counted is what people add to it.
        engine.sample(scene.patcher, positive, negative, scene.noise, 1)
        with engine.peak_memory() as peak, engine.counted(net) as calls:
            seconds = engine.timed_sample(
                model, positive, negative, scene.noise, 2, cfg=scene.cfg, clock="processor"
            )
    return {
        "precision": precision, "method": method, "model_bytes": stored,
        "peak_memory_bytes": peak["bytes"], "model_calls": len(calls), "seconds_per_step": seconds[-1],
    }  # fmt: skip


def cell(row: list, folder: Path) -> dict:
    """One cell, in a process of its own."""
    file = folder / "row.json"
    command = [sys.executable, __file__, "--cell", json.dumps(row), "--json", str(file)]
    subprocess.run(command, check=True)
    return json.loads(file.read_text(encoding="utf-8"))


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "float32 and fp8 scaled; fused and merged")
    parser.add_argument("--size", default="256x192")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--precisions", nargs="+")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--cell", type=json.loads, help="used by itself")
    args = parser.parse_args(argv)
    engine.load()
    if args.cell:
        return args.json.write_text(json.dumps(measure(*args.cell)), encoding="utf-8") and None
    from dev.quantised import PRECISIONS

    precisions = args.precisions or list(PRECISIONS)
    if args.quick:
        precisions, args.methods = ["fp32", "fp8 scaled"], ["fused", "merged"]
    width, height = (int(side) for side in args.size.split("x"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for precision in precisions:
            own = [
                cell([precision, method, [width, height], args.people, args.rank], Path(folder))
                for method in args.methods
            ]
            merged = next((r["peak_memory_bytes"] for r in own if r["method"] == "merged"), None)
            for row in own:
                row["saved_bytes"] = None if merged is None else merged - row["peak_memory_bytes"]
            rows += own
            print(engine.table(own, COLUMNS), flush=True)
    engine.report(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
