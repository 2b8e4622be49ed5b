"""What each stage is trained on and how its error is measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.autoencoder import Autoencoder
from ..networks.sampler import alphas_cumprod
from ..networks.unet import ControlNet, UNet
from ..world import IDENTITIES
from ..world.words import SIGNATURE
from .batches import Batch, Batches
from .data import to_float
from .render import Job, jobs

CROP = 96
_NOISE = 0.05  # in latents, while the decoder learns: the UNet's will not be exact either
_GAMMA = 5.0
_SCALES = ((0.75, 0.6), (1.0, 0.3), (1.5, 0.1))
"""Of the autoencoder's pictures, and their shares: it must do for all sizes that are ever made."""
_AT_HEADS = 0.6  # of the crops
_SIGNATURES = torch.tensor(list(SIGNATURE.values())) / 255
_NEAR, _RARE = 0.3, 3.0  # how near a colour is to a signature's, and how much more it then counts


def autoencoder_jobs(count: int) -> list[list[Job]]:
    """Pictures for the autoencoder, of one size each list: every other one with an identity in it,
    whose colours the UNet must not know and the autoencoder must."""
    made = []
    for scale, share in _SCALES:
        for row in jobs(int(count * share), 50_000_000, scale=scale).values():
            made.append([
                replace(job, identity=i // 2 % len(IDENTITIES)) if i % 2 == 0 else job
                for i, job in enumerate(row)
            ])  # fmt: skip
    return made


@dataclass(frozen=True)
class Drawn:
    """N pictures of one size."""

    pictures: Tensor
    """`[N,H,W,3]` uint8"""
    heads: Tensor
    """`[N,PEOPLE,2]`, their middles, x and y in pixels."""


class Crops:
    """Random crops of pictures, many of them round a head, one set of pictures a batch; from the
    step alone, as in Batches."""

    def __init__(self, sets: list[Drawn], size: int, seed: int, side: int = CROP):
        self.sets, self.size, self.seed, self.side = sets, size, seed, side
        self.shares = [len(drawn.pictures) for drawn in sets]
        self.generator = torch.Generator()

    def draw(self, step: int) -> Tensor:
        """`[B,3,side,side]` in 0..1."""
        rng = random.Random(f"{self.seed} {step}")
        self.generator.manual_seed(rng.getrandbits(60))
        drawn = rng.choices(self.sets, self.shares)[0]
        return to_float(torch.stack([self._crop(drawn, rng) for _ in range(self.size)]))

    def _crop(self, drawn: Drawn, rng: random.Random) -> Tensor:
        i = rng.randrange(len(drawn.pictures))
        picture = drawn.pictures[i]
        spare = [n - self.side for n in picture.shape[:2]]
        y, x = (rng.randint(0, most) for most in spare)
        if rng.random() < _AT_HEADS:
            x, y = (int(v) - self.side // 2 for v in rng.choice(drawn.heads[i].tolist()))
            y, x = y + rng.randint(-24, 24), x + rng.randint(-24, 24)
        # Latents begin at multiples of 8, in training as in pictures.
        y, x = (max(0, min(v, most)) // 8 * 8 for v, most in zip((y, x), spare, strict=True))
        return picture[y : y + self.side, x : x + self.side]


def autoencoder_loss(vae: Autoencoder, crops: Crops) -> Callable[[int], Tensor]:
    def loss(step: int) -> Tensor:
        pictures = crops.draw(step)
        device = next(vae.parameters()).device
        pictures = pictures.to(device)
        with torch.autocast(device.type, torch.bfloat16):
            latents = vae.encode(pictures).float()
            noise = torch.randn(latents.shape, generator=crops.generator).to(device)
            decoded = vae.decode(latents + _NOISE * noise).float()
        return picture_error(decoded, pictures) + 0.1 * _spread_error(latents)

    return loss


def picture_error(decoded: Tensor, pictures: Tensor) -> Tensor:
    """Of values, of steps between neighbours and of the colours of patches: flat colours with sharp
    outlines. A pink shirt must not become skin, which is as bright; and colours that only identities
    wear count more, for they are few and an identity is read off them."""
    off = decoded - pictures
    weight = 1 + _RARE * signature_nearness(pictures)
    edges = off.diff(dim=2).abs().mean() + off.diff(dim=3).abs().mean()
    patches = F.avg_pool2d(weight * off, 4)
    hues = patches - patches.mean(1, keepdim=True)
    flat = patches.abs().mean() + 5 * hues.abs().mean()
    return (weight * (off.abs() + 2 * off.square())).mean() + 0.5 * edges + flat


def signature_nearness(pictures: Tensor) -> Tensor:
    """`[B,3,H,W]` -> `[B,1,H,W]`: 1 for a colour of SIGNATURE, towards 0 away from all of them."""
    signatures = _SIGNATURES.to(pictures)[:, None, :, None, None]
    distance = (pictures - signatures).square().sum(2).amin(0)
    return torch.exp(-distance / _NEAR**2)[:, None]


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
        with torch.autocast(x.device.type, torch.bfloat16):
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
