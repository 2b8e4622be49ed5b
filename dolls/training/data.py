"""Scenes as the nets see them: encoded once, then kept on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..networks.autoencoder import Autoencoder
from .render import Drawers, Job, Rendered

_SHARD = 2000  # scenes whose pictures are held at a time
_BATCH = 128  # pictures encoded at a time


@dataclass(frozen=True)
class Scenes:
    """N scenes of one shape: latents `[N,4,h,w]` float16, poses `[N,8h,8w]` uint8, tokens
    `[N,VARIANTS,SLOTS,77]` int32, boxes `[N,PEOPLE,4]` float32."""

    latents: Tensor
    poses: Tensor
    tokens: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def to(self, device: torch.device) -> Scenes:
        return Scenes(*(part.to(device) for part in vars(self).values()))

    def save(self, path: Path) -> None:
        unfinished = path.with_suffix(".part")
        save_file({name: part.contiguous() for name, part in vars(self).items()}, str(unfinished))
        unfinished.replace(path)

    @staticmethod
    def load(path: Path) -> Scenes:
        return Scenes(**load_file(str(path)))


class OutOfTimeError(Exception):
    """The slice ends before this is finished; what is finished has been kept."""


def to_float(pictures: Tensor) -> Tensor:
    """`[B,H,W,3]` uint8 -> `[B,3,H,W]` in 0..1."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def pictures(rendered: Iterable[Rendered]) -> Tensor:
    """`[N,H,W,3]` uint8."""
    return torch.from_numpy(np.stack([each.picture for each in rendered]))


@torch.no_grad()
def build(
    vae: Autoencoder,
    jobs: Sequence[Job],
    drawers: Drawers,
    device: torch.device,
    enough_time: Callable[[], bool],
) -> Scenes:
    """Draw and encode. Raises OutOfTimeError when `enough_time` says no."""
    rendered = drawers.render(jobs)
    shards = []
    while shard := list(islice(rendered, _SHARD)):
        if not enough_time():
            raise OutOfTimeError
        drawn = pictures(shard)
        latents = []
        for start in range(0, len(drawn), _BATCH):
            x = to_float(drawn[start : start + _BATCH].to(device))
            with torch.autocast(device.type, torch.bfloat16):
                latents.append(vae.encode(x).half().cpu())
        poses, ids, boxes = (
            torch.from_numpy(np.stack([getattr(each, name) for each in shard]))
            for name in ("pose", "tokens", "boxes")
        )
        shards.append(Scenes(torch.cat(latents), poses, ids, boxes))
    columns = zip(*(vars(shard).values() for shard in shards), strict=True)
    return Scenes(*(torch.cat(column) for column in columns))
