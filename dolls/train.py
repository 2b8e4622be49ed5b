"""Trains the paper dolls: `python -m dolls.train --work WORK --out OUT`. It passes from stage to stage
by budgets, ends at SIGTERM or after --limit minutes, and goes on where it stopped when it is run
again; who kills it loses a minute or two.

WORK keeps the scenes and the whole state from run to run; OUT gets what is worth keeping: weights,
pictures to look at, and log.txt. An empty WORK begins with the weights that are shipped.
"""

# Nothing heavy up here: every drawing process imports this file.
import argparse
import os
import signal
import sys
import time
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m dolls.train", description=__doc__)
    add = whole.add_argument
    add("--work", type=Path, required=True, help="scenes and state, kept between runs")
    add("--out", type=Path, required=True)
    add("--restore", type=Path, help="weights to begin with (dolls/weights)")
    add("--afresh", action="store_true", help="begin without weights")
    # Of this program's own time on a processor, of the clock's on a GPU.
    stages = ("VAE", "UNET", "CONTROL", "LORA")
    budgets = (30.0, 600.0, 120.0, 15.0)
    add("--minutes", type=float, nargs=4, default=budgets, metavar=stages)
    add("--limit", type=float, default=float("inf"), help="minutes this run may take in all")
    add("--pictures", type=int, default=25_000)
    add("--scale", type=float, default=0.75, help="of the scenes' sides; 1 is 256x384")
    add("--batch", type=int, default=16)
    add("--rate", type=float, default=1e-3, help="learning rate of UNet and ControlNet")
    add("--threads", type=int, default=os.cpu_count() or 1, help="of torch, on a processor")
    add("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    add("--seed", type=int, default=1)
    add("--steps", type=int, default=0, help="for a trial: steps per stage, not minutes")
    return whole


def main(argv: list[str] | None = None) -> int:
    import torch

    from .training.loop import DivergedError, Slice
    from .training.render import Drawers
    from .training.run import Run, Settings
    from .weights import SHIPPED

    arguments = parser().parse_args(argv)
    cuda = torch.cuda.is_available()
    time_slice = Slice(60 * arguments.limit, effort=None if cuda else time.process_time)
    signal.signal(signal.SIGTERM, lambda *_: time_slice.stop())
    for folder in (arguments.work, arguments.out):
        folder.mkdir(parents=True, exist_ok=True)

    def tell(line: str) -> None:
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}"
        print(line, flush=True)
        with (arguments.out / "log.txt").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    settings = Settings(
        work=arguments.work, out=arguments.out, minutes=tuple(arguments.minutes),
        steps=arguments.steps, pictures=arguments.pictures, scale=arguments.scale,
        batch=arguments.batch, rate=arguments.rate, seed=arguments.seed,
    )  # fmt: skip
    device = torch.device("cuda" if cuda else "cpu")
    with Drawers(arguments.workers) as drawers:
        run = Run(settings, device, drawers, time_slice, tell)
        if run.state.load(arguments.work):
            tell("goes on")
        elif not arguments.afresh and run.state.restore(arguments.restore or SHIPPED):
            tell("begins with the weights of an earlier training")
        try:
            everything = run.go()
        except DivergedError as error:
            tell(str(error))
            return 1
    tell("everything is trained" if everything else "run again to go on")
    return 0


if __name__ == "__main__":
    sys.exit(main())
