"""Four faces in a row, their crops, and a run of the redraw without the rest of the node."""

from dataclasses import replace

import scenes
import tiny
import torch
from ensemble_portraits.ensemble.faces.boxes import Face
from ensemble_portraits.ensemble.faces.crop import Oval, mask, square
from ensemble_portraits.ensemble.faces.painters import Target
from ensemble_portraits.ensemble.faces.redraw import RedrawSettings, redraw
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings

QUICK = RedrawSettings(
    sampling=SamplingSettings(seed=5, steps=3, cfg=4.0, scheduler="normal", denoise=0.7), size=64
)
FACES = [Face.at(10 + 60 * i, 20, 45 + 60 * i, 62) for i in range(4)]
WIDTH, HEIGHT = 256, 96
VAE = scenes.AveragingVae(clamp=False)


def targets(people: list[int | None]) -> list[Target]:
    return [
        Target(0, face, square(face.box, WIDTH, HEIGHT, 2.0), who)
        for face, who in zip(FACES, people, strict=True)
    ]


def inputs(chosen: list[Target]) -> tuple[torch.Tensor, torch.Tensor]:
    picture = torch.rand(HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(0))
    pixels = [torch.nn.functional.interpolate(
        t.crop.of(picture).movedim(-1, 0)[None], (64, 64), mode="bilinear")[0].movedim(0, -1)
        for t in chosen]  # fmt: skip
    return torch.stack(pixels), torch.stack([mask(t.face.box, t.crop, Oval(), 64) for t in chosen])


def sampled(**changes) -> RedrawSettings:
    """QUICK with another sampling."""
    return replace(QUICK, sampling=replace(QUICK.sampling, **changes))


def run(chosen: list[Target], painter, settings=QUICK) -> torch.Tensor:
    return redraw(*inputs(chosen), chosen, VAE, painter, settings)


def people_of(patcher, **more):
    states = [tiny.lora(patcher, 30 + i) for i in range(4)]
    return tiny.people(patcher, states, tiny.columns(4), **more), states


ALL = targets([2, 0, 3, 1])
