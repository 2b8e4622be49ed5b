"""What each stage is trained on and how its error is measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..networks.autoencoder import Autoencoder
from ..networks.sampler import alphas_cumprod
from ..networks.unet import ControlNet, UNet
from ..world import IDENTITIES
from .batches import Batch, Batches
from .data import to_float
from .render import Job, jobs

CROP = 128
_NOISE = 0.05  # in latents, while the decoder learns: the UNet's will not be exact either
_GAMMA = 5.0


def autoencoder_jobs(count: int) -> dict[str, list[Job]]:
    """Pictures for the autoencoder: every third with an identity in it, whose colours the UNet must
    not know and the autoencoder must."""
    made = jobs(count, 50_000_000)
    return {
        shape: [
            replace(job, identity=i // 3 % len(IDENTITIES)) if i % 3 == 0 else job
            for i, job in enumerate(row)
        ]
        for shape, row in made.items()
    }


class Crops:
    """Random crops of pictures `[N,H,W,3]` uint8, one set of pictures a batch; from the step alone,
    as in Batches."""

    def __init__(self, pictures: list[Tensor], size: int, seed: int, side: int = CROP):
        self.pictures, self.size, self.seed, self.side = pictures, size, seed, side
        self.generator = torch.Generator(pictures[0].device)

    def draw(self, step: int) -> Tensor:
        """`[B,3,side,side]` in 0..1."""
        rng = random.Random(f"{self.seed} {step}")
        self.generator.manual_seed(rng.getrandbits(60))
        pictures = rng.choice(self.pictures)
        device = pictures.device
        pick = torch.randint(len(pictures), (self.size,), generator=self.generator, device=device)
        y, x = (8 * rng.randrange((n - self.side) // 8 + 1) for n in pictures.shape[1:3])
        return to_float(pictures[pick, y : y + self.side, x : x + self.side])


def autoencoder_loss(vae: Autoencoder, crops: Crops) -> Callable[[int], Tensor]:
    def loss(step: int) -> Tensor:
        pictures = crops.draw(step)
        device = pictures.device
        if device.type == "cuda":
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, device.type == "cuda"):
            latents = vae.encode(pictures).float()
            noise = torch.randn(latents.shape, generator=crops.generator, device=device)
            decoded = vae.decode(latents + _NOISE * noise).float()
        return picture_error(decoded, pictures) + 0.1 * _spread_error(latents)

    return loss


def picture_error(decoded: Tensor, pictures: Tensor) -> Tensor:
    """Of values and of steps between neighbours: flat colours with sharp outlines."""
    off = decoded - pictures
    edges = off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()
    return off.abs().mean() + 2 * off.square().mean() + 0.5 * edges


def _spread_error(latents: Tensor) -> Tensor:
    """How far latents are from mean 0 and spread 1, per channel."""
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    return (mean.square() + (std - 1).square()).mean()


def noise_loss(
    unet: UNet, batches: Batches, control: ControlNet | None = None
) -> Callable[[int], Tensor]:
    """Squared error of the predicted noise, weighted by min-SNR with gamma 5 (Hang et al. 2023)."""
    kept = alphas_cumprod(batches.device)

    def loss(step: int) -> Tensor:
        batch = batches.draw(step)
        a = kept[batch.t][:, None, None, None]
        x = a.sqrt() * batch.latents + (1 - a).sqrt() * batch.noise
        with torch.autocast(x.device.type, torch.bfloat16, x.device.type == "cuda"):
            noise = unet(x, batch.t, batch.context, _added(control, x, batch)).float()
        error = (noise - batch.noise).square() * batch.weight
        return (error * (_GAMMA * (1 - a) / a).clamp_max(1)).mean()

    return loss


def _added(control: ControlNet | None, x: Tensor, batch: Batch) -> list[Tensor] | None:
    if control is None or batch.hint is None:
        return None
    return control(x, batch.hint, batch.t, batch.context)


def trained(net: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in net.parameters() if parameter.requires_grad]
