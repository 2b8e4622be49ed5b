"""How families take a picture of a person: at what size, by which words, and laid out how."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import comfy.utils
import torch
from comfy.model_base import BaseModel
from comfy.sd import CLIP
from torch import nn

MEGAPIXEL = 1024 * 1024
LATENTS, LATENTS_METHOD = "reference_latents", "reference_latents_method"
"""Core's keys in conditioning."""
TIMESTEP_ZERO = "index_timestep_zero"
"""Core's method in which references are modulated as if they had no noise."""


@dataclass(frozen=True)
class References:
    """A family that takes reference latents: their tokens follow the picture's in the sequence.

    sized: IMAGE `[1,H,W,3]` -> as the family's own workflow encodes it. method: core's
    `reference_latents_method` (where references stand), where the model has none of its own.
    read: `(clip, words, image) -> conditioning` of a text encoder that looks at the picture too.
    """

    sized: Callable[[BaseModel, torch.Tensor], torch.Tensor]
    method: str | None = None
    read: Callable[[CLIP, str, torch.Tensor], list] | None = None


def method_of(unet: nn.Module, conditioning: list) -> str | None:
    """Which of core's methods places and modulates references."""
    told = [values.get(LATENTS_METHOD) for _, values in conditioning]
    own = getattr(unet, "params", unet)
    return next(filter(None, told), getattr(own, "default_ref_method", None))


def megapixel(model: BaseModel, image: torch.Tensor) -> torch.Tensor:
    """About 1024 x 1024 pixels in its own shape, sides in multiples of 16."""
    height, width = image.shape[1:3]
    by = math.sqrt(MEGAPIXEL / (height * width))
    sides = (max(16, round(side * by / 16) * 16) for side in (width, height))
    resized = comfy.utils.common_upscale(image.movedim(-1, 1), *sides, "area", "disabled")
    return resized.movedim(1, -1)


def each_as_the_first(process_img: Callable) -> Callable:
    """Core counts the references of a forward pass on (index 1, 2, … or side by side). People see
    one each, which stands where the only one would."""
    first: dict = {}

    def placed(x: torch.Tensor, **where):
        if "index" in where:
            first.setdefault("where", where)
            where = first["where"]
        return process_img(x, **where)

    return placed
