"""PEOPLE: everything later nodes need to paint a person again, without a second wiring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import torch
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP

from ..regions.rect import Rect
from ..regions.weights import together
from .follow import Follower
from .isolation import TOGETHER, Isolation
from .rows import WHOLE, Span

if TYPE_CHECKING:
    from .changes import Patches
    from .image_prompts import ImagePrompt


class TextSees(str, Enum):
    """The part of the picture that a person's text looks at; the scene's text looks at all."""

    OWN = "own"
    ALL = "all"


class Method(str, Enum):
    FUSED = "fused"
    EXACT = "exact"


@dataclass(frozen=True)
class Text:
    """A text and its encoding by one CLIP: conditioning as core's nodes pass it."""

    text: str
    conditioning: list


@dataclass(frozen=True)
class Person:
    """positive and negative are both encoded with this person's CLIP LoRA.

    region `[H,W]` covers the whole canvas, whatever its size in pixels. head is in fractions of the
    canvas. lora_names are for people to read; patches are what those files change in the diffusion
    model.
    """

    positive: Text
    negative: Text
    lora_names: tuple[str, ...]
    patches: Patches
    region: torch.Tensor
    head: Rect | None = None
    seed_offset: int = 0
    image: ImagePrompt | None = None
    """Their picture, where the model takes it by cross-attention; a reference latent stands with the
    texts."""


@dataclass(frozen=True)
class Together:
    """What several people do together: painted as a person is, and no person.

    members: indices of people. painted: its text and LoRAs; its region is the members' with what
    lies between them where they meet, and counts for so much as its text weighs beside theirs.
    """

    members: tuple[int, ...]
    painted: Person


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
    """Where text and picture share one attention."""
    isolation: Isolation = TOGETHER
    unplaced: Text | None = None
    """The scene's text for a part of the canvas, where `base` says of the whole who stands where."""
    notes: tuple[str, ...] = ()
    together: tuple[Together, ...] = ()
    follower: Follower | None = None
    """What draws the regions in while the model paints, and knows them afterwards; None where regions stay
    as they are."""

    @property
    def painted(self) -> tuple[Person, ...]:
        """All that has a text and a place: the people, then what several do together."""
        return self.people + tuple(each.painted for each in self.together)

    @property
    def painted_masks(self) -> torch.Tensor:
        """`[N+T,H,W]` of `painted`; one empty mask where there is nobody."""
        regions = [each.painted.region for each in self.together]
        return torch.cat([self.masks, torch.stack(regions)]) if regions else self.masks

    @property
    def masks(self) -> torch.Tensor:
        """`[N,H,W]`; one empty mask where there is nobody."""
        if not self.people:
            return torch.zeros(1, 64, 64)
        return torch.stack([person.region for person in self.people])

    @property
    def images(self) -> tuple[ImagePrompt | None, ...]:
        """Of `painted`; a part of several people has none."""
        return tuple(each.image for each in self.painted)

    @property
    def base_of_parts(self) -> Text:
        """The scene's text without anybody's place."""
        return self.unplaced or self.base

    def with_regions(self, cut: Callable[[torch.Tensor], torch.Tensor]) -> People:
        """The same people on a part of the canvas, with `cut(region)` in place of each `[H,W]`
        region."""
        here = tuple(replace(p, region=cut(p.region)) for p in self.people)
        shared = tuple(
            replace(each, painted=replace(each.painted, region=cut(each.painted.region)))
            for each in self.together
        )
        return replace(self, base=self.base_of_parts, people=here, together=shared, follower=None)

    def with_masks(self, masks: torch.Tensor) -> People:
        """The same people on the same canvas in regions `[N,H,W]`, which stay as they are."""
        here = tuple(
            replace(person, region=mask) for person, mask in zip(self.people, masks, strict=True)
        )
        shared = tuple(
            replace(each, painted=replace(each.painted, region=together(masks[list(each.members)])))
            for each in self.together
        )
        return replace(self, people=here, together=shared, follower=None)
