"""Trains the paper dolls in slices: `python -m dolls.train --work WORK --out OUT`, again and again
until it says that everything is trained. A slice ends by itself at --limit minutes, or at SIGTERM.

WORK keeps the scenes and the whole state from slice to slice; OUT gets what is worth keeping:
compact.safetensors, pictures to look at, and log.txt.
"""

# Nothing heavy up here: every drawing process imports this file.
import argparse
import os
import signal
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m dolls.train", description=__doc__)
    add = whole.add_argument
    add("--work", type=Path, required=True, help="scenes and state, kept between slices")
    add("--out", type=Path, required=True)
    add("--restore", type=Path, help="a compact.safetensors to go on from when WORK was lost")
    stages = ("VAE", "UNET", "CONTROL", "LORAS")
    budgets = (2.0, 7.5, 3.0, 2.5)
    add("--minutes", type=float, nargs=4, default=budgets, metavar=stages)
    add("--limit", type=float, default=9.0, help="minutes this slice may take in all")
    add("--pictures", type=int, default=48_000)
    add("--batch", type=int, default=256)
    add("--autoencoder-batch", type=int, default=64)
    add("--rate", type=float, default=1e-3, help="learning rate of UNet and ControlNet")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    add("--seed", type=int, default=1)
    add("--compile", action="store_true", help="torch.compile the UNet (needs a C compiler)")
    add("--steps", type=int, default=0, help="for a trial: steps per stage and LoRA, not minutes")
    return whole


def main(argv: list[str] | None = None) -> int:
    import torch

    from .training.loop import DivergedError, Slice
    from .training.render import Drawers
    from .training.run import Run, Settings

    arguments = parser().parse_args(argv)
    time_slice = Slice(60 * arguments.limit)
    signal.signal(signal.SIGTERM, lambda *_: time_slice.stop())
    for folder in (arguments.work, arguments.out):
        folder.mkdir(parents=True, exist_ok=True)

    def tell(line: str) -> None:
        line = f"[{time_slice.passed():5.0f} s] {line}"
        print(line, flush=True)
        with (arguments.out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    settings = Settings(
        arguments.work, arguments.out, tuple(arguments.minutes), arguments.steps,
        arguments.pictures, arguments.batch, arguments.autoencoder_batch, arguments.rate,
        arguments.seed, arguments.compile,
    )  # fmt: skip
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with Drawers(arguments.workers) as drawers:
        run = Run(settings, device, drawers, time_slice, tell)
        if run.state.load(arguments.work):
            tell(f"goes on; finished: {', '.join(run.state.done) or 'nothing'}")
        elif arguments.restore:
            run.state.restore(arguments.restore)
            tell(f"restored; finished: {', '.join(run.state.done) or 'nothing'}")
        try:
            everything = run.go()
        except DivergedError as error:
            tell(str(error))
            return 1
    tell("everything is trained" if everything else "run again to go on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
