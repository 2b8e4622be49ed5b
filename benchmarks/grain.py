"""What film grain costs: core's ImageAddNoise, ours, and propost's FilmGrain where its folder is
named.

    python dev bench grain [--quick] [--json FILE] [--propost FOLDER] [--threads N]

`--propost` is a checkout of digitaljohn/comfyui-propost. Its function is called as its node calls
it, picture by picture and once only (it takes seconds per megapixel); its cache of masks starts
empty. Memory is what the run adds, the result included.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from pathlib import Path

import engine

CASES = {"1 MP": (1, 1024), "4 MP": (1, 2048), "16 MP": (1, 4096), "64 x 1 MP": (64, 1024)}
QUICK = ("1 MP", "4 MP")
COLUMNS = ["case", "method", "seconds", "milliseconds_per_mp", "over_ours", "peak_memory_mb"]


def methods(image, propost: str | None) -> dict:
    """Name -> a run on `image`."""
    import torch
    from comfy_extras.nodes_images import ImageAddNoise
    from ensemble_portraits.ensemble.film.grain import GrainSettings, film_grain
    from ensemble_portraits.ensemble.film.stocks import STOCKS

    fine = GrainSettings(stock=STOCKS["Portra 400"], seed=1)
    coarse = GrainSettings(stock=STOCKS["Super 8, 500T"], size=2.0, seed=1)
    runs = {
        "ours": lambda: film_grain(image, fine),
        "ours, coarse": lambda: film_grain(image, coarse),
        "core ImageAddNoise": lambda: ImageAddNoise.execute(image, 1, 0.05),
    }
    if propost:
        sys.path.insert(0, propost)
        from filmgrainer import filmgrainer  # type: ignore

        def theirs() -> None:
            result = torch.zeros_like(image)
            for i, frame in enumerate(image):
                with contextlib.redirect_stdout(io.StringIO()):
                    grained = filmgrainer.process(
                        frame.numpy(), 1.0, 1.0, 0.7, 0.2, 0.2, 1, 0.5, False, 0, 1 + i
                    )
                result[i] = torch.from_numpy(grained)

        runs["propost FilmGrain"] = theirs
    return runs


def reset_peak() -> int:
    """Give freed memory back, forget the highest resident size so far (Linux); bytes in use now."""
    engine.give_back()
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The highest resident size since `reset_peak`: a sampler would miss what lives for 30 ms."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) * 1024


def measure(case: str, rounds: int, propost: str | None) -> list[dict]:
    import torch

    count, side = CASES[case]
    image = torch.rand(count, side, side, 3)
    runs = methods(image, propost)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    memory: dict[str, int] = dict.fromkeys(runs, 0)
    for number in range(rounds + 1):  # the first round warms up and is not counted
        for name, run in runs.items():
            slow = name.startswith("propost")
            if slow and number != 1:
                continue
            before = reset_peak()
            start = time.perf_counter()
            run()
            taken = time.perf_counter() - start
            if number:
                seconds[name].append(taken)
                memory[name] = max(memory[name], peak() - before)
    ours = engine.median(seconds["ours"])
    megapixels = count * side * side / 2**20
    return [
        {
            "case": case,
            "method": name,
            "seconds": engine.median(times),
            "milliseconds_per_mp": engine.median(times) * 1000 / megapixels,
            "over_ours": engine.median(times) / ours,
            "peak_memory_mb": round(memory[name] / 2**20),
        }
        for name, times in seconds.items()
    ]


def main(argv: list[str] | None = None) -> None:
    parser = engine.options(__doc__, "1 and 4 MP only, three rounds")
    parser.add_argument("--propost", metavar="FOLDER")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args(argv)
    engine.load()
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # where propost keeps its masks
        for case in QUICK if args.quick else CASES:
            rows += measure(case, 3 if args.quick else args.rounds, args.propost)
    print(f"{torch.get_num_threads()} threads, float32\n")
    engine.report(rows, COLUMNS, args.json)


if __name__ == "__main__":
    main()
