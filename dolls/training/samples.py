"""Pictures to look at: what the nets make of scenes that they were not trained on."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..networks.autoencoder import Autoencoder
from ..networks.sampler import ddim
from ..networks.text import TextEncoder
from ..networks.unet import ControlNet, UNet
from ..world import Scene, draw, identity_scores, make_scene, skeleton
from ..world.words import tokens
from .batches import region_weights
from .data import to_float
from .render import PEOPLE, boxes

_SEED = 90_000_000


@dataclass(frozen=True)
class Models:
    vae: Autoencoder
    unet: UNet
    control: ControlNet | None
    text: TextEncoder


def held_out(shape: str, count: int, identity: int | None, scale: float) -> list[Scene]:
    """With an identity: it alone in portraits, and to the left of somebody else."""
    who = None
    if identity is not None:
        who = [identity] if shape == "portrait" else [identity, None]
    rngs = (random.Random(_SEED + i) for i in range(count))
    return [make_scene(rng, shape=shape, identities=who, scale=scale) for rng in rngs]


@torch.no_grad()
def sample(models: Models, scenes: list[Scene], steps: int) -> np.ndarray:
    """Scenes of one shape by regions, and by poses where there is a ControlNet; uint8 `[B,H,W,3]`."""
    device = models.text.token.device
    w, h = scenes[0].size
    ids = torch.tensor([_texts(scene) for scene in scenes], device=device)
    where = torch.from_numpy(np.stack([boxes(scene) for scene in scenes])).to(device)
    regions = region_weights(where, h // 8, w // 8, grow=0.03, base=0.0)
    empty = torch.tensor(tokens(""), device=device).expand(len(ids), 1, -1)
    hint = None
    if models.control is not None:
        hint = to_float(_stack(skeleton(scene) for scene in scenes)).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        latents = ddim(
            models.unet, models.text.context(ids, regions), models.text.context(empty),
            (h // 8, w // 8), steps, control=models.control, hint=hint,
        )  # fmt: skip
        decoded = models.vae.decode(latents)
    return as_bytes(decoded)


def _texts(scene: Scene) -> list[list[int]]:
    people = [f"{person.caption()}, {scene.place}" for person in scene.people]
    texts = [scene.base_caption(), *people] + [""] * (PEOPLE - len(people))
    return [tokens(text) for text in texts]


def as_bytes(pictures: Tensor) -> np.ndarray:
    """`[B,3,H,W]` in 0..1 -> uint8 `[B,H,W,3]`."""
    whole = (pictures.float().clamp(0, 1) * 255).round().byte()
    return whole.permute(0, 2, 3, 1).cpu().numpy()


def _stack(images) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))


def write_grid(path: Path, *rows: np.ndarray) -> None:
    """Rows of pictures, uint8 `[B,H,W,3]` each."""
    lines = [np.concatenate(list(row), axis=1) for row in rows]
    Image.fromarray(np.concatenate(lines, axis=0)).save(path)


@dataclass(frozen=True)
class Look:
    """Which scenes are looked at."""

    name: str
    """Of the files that are written."""
    identity: int | None = None
    """Who is in them, or nobody special."""
    count: int = 6
    """Of each shape."""
    steps: int = 20
    shapes: tuple[str, ...] = ("portrait", "landscape")


def look(models: Models, out: Path, what: Look, scale: float) -> list[str]:
    """Write `<name>_<shape>.png`: above what the model makes, below the scene as it is drawn.
    What there is to say about identities."""
    lines = []
    for shape in what.shapes:
        scenes = held_out(shape, what.count, what.identity, scale)
        made = sample(models, scenes, what.steps)
        write_grid(out / f"{what.name}_{shape}.png", made, np.stack([draw(s) for s in scenes]))
        if what.identity is not None:
            scores = np.array([
                identity_scores(picture, scene.people[0].box)
                for picture, scene in zip(made, scenes, strict=True)
            ])  # fmt: skip
            others = np.delete(scores, what.identity, axis=1).max(1).mean()
            own = scores[:, what.identity].mean()
            lines.append(f"{what.name} {shape}: own score {own:.2f}, best other {others:.2f}")
    return lines
