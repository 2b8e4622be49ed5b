"""How fused's cost grows with the people and with the total rank, over plain.

    python dev bench growth [--quick] [--json FILE] [--picture FILE] [--model sd15|sdxl] [--size 384x256]

One sweep over 1 to 8 people of rank 16 each, one over a total rank of 16 to 512 shared by two people.
All cases of a sweep run in turn, `plain` (one merged LoRA) among them; a line is fitted through
seconds per step over plain's. Peak memory is what the run takes above its start.
"""

from __future__ import annotations

import engine
import regional

PEOPLE = list(range(1, 9))
RANKS = [16, 32, 64, 128, 256, 512]
RANK, COUPLE = 16, 2
COLUMNS = [
    "sweep", "people", "total_rank", "over_plain", "seconds_per_step", "adapter_bytes",
    "peak_memory_bytes",
]  # fmt: skip


def sweep(patcher, name: str, cases: list[tuple[int, int]], args) -> list[dict]:
    """cases: (people, rank of each). One row per case, over the plain run of the same round."""
    width, height = map(int, args.size.split("x"))
    times: dict = {case: [] for case in [None, *cases]}
    memory: dict = {case: 0 for case in times}
    sizes: dict = {}

    def run(case):
        people, rank = case or (1, RANK)
        scene = regional.Scene(patcher, args.model, width, height, rank, people)
        model, positive, negative = scene.fused() if case else scene.plain()
        sizes[case] = sum(t.nbytes for lora in scene.loras for t in lora.values())
        with engine.peak_memory() as peak:
            steps = engine.timed_sample(model, positive, negative, scene.noise, args.steps)
        times[case] += steps[1:]
        memory[case] = max(memory[case], peak["bytes"])

    engine.interleaved({case: (lambda case=case: run(case)) for case in times}, args.rounds)
    plain = engine.median(times[None])
    return [
        {
            "sweep": name, "people": people, "total_rank": people * rank,
            "seconds_per_step": engine.median(times[people, rank]),
            "over_plain": engine.median(times[people, rank]) / plain,
            "adapter_bytes": sizes[people, rank], "peak_memory_bytes": memory[people, rank],
        }
        for people, rank in cases
    ]  # fmt: skip


def fitted(rows: list[dict], over: str) -> tuple[float, float]:
    """Slope and intercept of `over_plain` by least squares."""
    import numpy as np

    slope, start = np.polyfit([r[over] for r in rows], [r["over_plain"] for r in rows], 1)
    return float(slope), float(start)


def draw(rows: list[dict], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), sharey=True)
    for axis, (name, over) in zip(axes, SWEEPS.items(), strict=True):
        mine = [r for r in rows if r["sweep"] == name]
        slope, start = fitted(mine, over)
        xs = [r[over] for r in mine]
        axis.plot(xs, [r["over_plain"] for r in mine], "o", color="#2457a6")
        axis.plot(xs, [start + slope * x for x in xs], "-", color="#2457a6", alpha=0.5)
        axis.set_xlabel(f"{over.replace('_', ' ')} (slope {slope:.3g})")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds per step, over plain")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


SWEEPS = {"people": "people", "rank": "total_rank"}


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "three cases per sweep, one round")
    parser.add_argument("--picture", metavar="FILE", help="plot both sweeps into this PNG")
    parser.add_argument("--model", choices=("sd15", "sdxl"), default="sd15")
    parser.add_argument("--size", default="384x256")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    args = parser.parse_args(argv)
    people, ranks = PEOPLE, RANKS
    if args.quick:
        people, ranks, args.rounds = [1, 4, 8], [16, 128, 512], 1
    engine.load()
    import torch

    with torch.inference_mode():
        patcher = engine.full_size(args.model)
        rows = sweep(patcher, "people", [(n, RANK) for n in people], args)
        print(engine.table(rows, COLUMNS), flush=True)
        rows += sweep(patcher, "rank", [(COUPLE, r // COUPLE) for r in ranks], args)
    engine.report(rows, COLUMNS, args.json)
    for name, over in SWEEPS.items():
        slope, start = fitted([r for r in rows if r["sweep"] == name], over)
        print(f"{name}: {start:.3f} + {slope:.3g} per {over.replace('_', ' ')}")
    if args.picture:
        draw(rows, args.picture)


if __name__ == "__main__":
    main()
