"""PEOPLE: everything later nodes need to paint a person again, without a second wiring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP

from .joint.attention import TextSees
from .patch import WHOLE, Span
from .stack import PersonPatches


class Method(str, Enum):
    FUSED = "fused"
    EXACT = "exact"


@dataclass(frozen=True)
class Text:
    """A text and its encoding by one CLIP: conditioning as core's nodes pass it."""

    text: str
    conditioning: list


@dataclass(frozen=True)
class HeadBox:
    """In fractions of the canvas, 0..1, corners."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Person:
    """positive and negative are both encoded with this person's CLIP LoRA.

    region `[H,W]` covers the whole canvas, whatever its size in pixels. lora_names are for people
    to read; patches are what those files change in the diffusion model.
    """

    positive: Text
    negative: Text
    lora_names: tuple[str, ...]
    patches: PersonPatches
    region: torch.Tensor
    head: HeadBox | None = None
    seed_offset: int = 0


@dataclass(frozen=True)
class People:
    """model and clip carry the LoRAs of base and common, merged, and no regional patch."""

    model: ModelPatcher
    clip: CLIP
    base: Text
    negative: Text
    common: str
    people: tuple[Person, ...]
    method: Method = Method.FUSED
    base_strength: float = 0.2
    span: Span = WHOLE
    text_sees: TextSees = TextSees.OWN
    """Used by models whose text and picture share one attention."""
    notes: tuple[str, ...] = ()

    @property
    def masks(self) -> torch.Tensor:
        """`[N,H,W]`; one empty mask where there is nobody."""
        if not self.people:
            return torch.zeros(1, 64, 64)
        return torch.stack([person.region for person in self.people])

    def cropped(self, left: float, top: float, right: float, bottom: float) -> People:
        """The same people on a part of the canvas, given in fractions of it."""
        height, width = self.people[0].region.shape if self.people else (1, 1)
        rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
        columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
        people = tuple(replace(p, region=p.region[rows, columns]) for p in self.people)
        return replace(self, people=people)
