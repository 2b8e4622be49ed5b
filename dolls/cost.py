"""What a step of each stage costs here: `python -m dolls.cost`.

Operations are counted by torch (a multiplication and an addition are two), forward and backward.
Steps are those that fit into the default budget at this pace. On a GPU try `--compile` as well before the budget is spent; it pays if a step of the UNet gets
faster by more than the minute that compiling takes.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .networks.unet import lora_layers
from .training.batches import Batches, Mix
from .training.data import Scenes, pictures
from .training.loop import Slice
from .training.render import Drawers, jobs, render
from .training.run import Run, Settings
from .training.stages import Crops, autoencoder_loss, noise_loss, trained

_STAGES = ("vae", "unet", "control", "loras")


def losses(
    run: Run, batch: int, crops: int
) -> dict[str, tuple[nn.Module, Callable[[int], Tensor]]]:
    """The trained net and the loss of each stage, on made-up latents: they cost the same."""
    device = run.device
    drawn = [render(job) for job in jobs(12, 0)["landscape"]]
    scenes = Scenes(
        torch.randn(len(drawn), 4, 32, 48).half(),
        *(
            torch.from_numpy(np.stack([getattr(each, name) for each in drawn]))
            for name in ("pose", "tokens", "boxes")
        ),
    ).to(device)
    vae = autoencoder_loss(run.vae, Crops([pictures(drawn).to(device)], crops, 0))

    def noise(size: int, hints: bool) -> Callable[[int], Tensor]:
        mix = Mix(size, drop=0.1, hints=hints)
        batches = Batches({"landscape": scenes}, run.text, mix, 0)
        return noise_loss(run.unet, batches, run.control if hints else None)

    return {
        "vae": (run.vae, vae),
        "unet": (run.unet, noise(batch, False)),
        "control": (run.control, noise(batch, True)),
        "loras": (run.unet, noise(max(1, batch // 2), False)),
    }


def _prepare(run: Run, stage: str) -> None:
    """Which parameters this stage trains."""
    if stage == "control":
        run.unet.requires_grad_(False)
        run.control.tie(run.unet.state_dict())
    if stage == "loras":
        for _, layer in lora_layers(run.unet):
            layer.add_lora(8, torch.Generator())


def measure(net: nn.Module, loss: Callable[[int], Tensor], steps: int) -> tuple[float, float]:
    """Operations and seconds of a step, means over `steps` steps (half of them with regions)."""
    optimizer = torch.optim.AdamW(trained(net))
    cuda = next(net.parameters()).is_cuda

    def step(number: int) -> None:
        loss(number).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    counter = FlopCounterMode(display=False)
    with counter:
        for number in range(steps):
            step(number)
    if cuda:
        torch.cuda.synchronize()
    began = time.perf_counter()
    for number in range(steps):
        step(number)
    if cuda:
        torch.cuda.synchronize()
    return counter.get_total_flops() / steps, (time.perf_counter() - began) / steps


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dolls.cost", description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--autoencoder-batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="steps that are measured")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    defaults = Settings(Path(), Path())
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(Path(folder), Path(folder), compiled=arguments.compile)
        run = Run(settings, device, Drawers(1), Slice(1e9), print)
    found = losses(run, arguments.batch, arguments.autoencoder_batch)
    print(f"{'stage':8} {'10^12 operations':>17} {'seconds':>9} {'minutes':>8} {'steps':>8}")
    for stage, minutes in zip(_STAGES, defaults.minutes, strict=True):
        _prepare(run, stage)
        operations, seconds = measure(*found[stage], arguments.steps)
        row = f"{stage:8} {operations / 1e12:17.3f} {seconds:9.3f} {minutes:8.1f}"
        print(f"{row} {60 * minutes / seconds:8.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
