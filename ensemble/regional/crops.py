"""A model and its conditioning for parts of the canvas: tiles of the hires fix, crops of faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import comfy.utils
import torch
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher

from ..regions.rect import WHOLE, Rect
from .build import build, prepare
from .patch import without_regional
from .people import People
from .rows import plain_conditioning

_CONTROL_KEYS = ("control", "control_apply_to_uncond")
# Entries of conditioning that are pictures of the whole canvas, [..., H, W].
_CANVAS_KEYS = ("mask", "concat_latent_image", "concat_mask")


@dataclass
class CanvasCrop:
    """Parts of the canvas, and all that lies on it cut down to them: the one cropper of this pack.

    parts: one Rect for a tile, which keeps the batch as it is; or one for each item of a batch of
    crops. pictures: for each part the index of its picture in the batch; empty for a tile.
    side: pixels to which every part is resized, both ways; 0 leaves the size.
    A ControlNet gives the same copy whenever asked, so that entries which share one go on sharing
    it and core runs it once for all.
    """

    parts: Sequence[Rect]
    pictures: Sequence[int] = ()
    side: int = 0
    controls: dict[int, ControlBase] = field(default_factory=dict, repr=False)

    @staticmethod
    def tile(part: Rect) -> CanvasCrop:
        return CanvasCrop(parts=(part,))

    def field(self, field: torch.Tensor, method: str = "bilinear") -> torch.Tensor:
        """What lies on the whole canvas, `[b,...,H,W]` or `[H,W]`, on these parts. `method` is
        core's name of a resizing."""
        if not self.pictures:
            return self._resized(self.parts[0].cut(field), method)
        parts = [
            self._resized(part.cut(field[i % len(field)])[None], method)
            for part, i in zip(self.parts, self.pictures, strict=True)
        ]
        return torch.cat(parts)

    def _resized(self, field: torch.Tensor, method: str) -> torch.Tensor:
        if not self.side:
            return field
        planes = field[:, None] if field.ndim == 3 else field
        planes = comfy.utils.common_upscale(planes, self.side, self.side, method, "disabled")
        return planes[:, 0] if field.ndim == 3 else planes

    def control(self, control: ControlBase) -> ControlBase:
        """A copy of a ControlNet, and of those before it, that sees its hint on these parts.
        Without it core would squeeze the hint of the whole canvas into every part."""
        if id(control) not in self.controls:
            copy = control.copy()
            method = control.upscale_algorithm
            copy.cond_hint_original = self.field(control.cond_hint_original, method)
            copy.extra_concat_orig = [self.field(e, method) for e in control.extra_concat_orig]
            if control.previous_controlnet is not None:
                copy.set_previous_controlnet(self.control(control.previous_controlnet))
            self.controls[id(control)] = copy
        return self.controls[id(control)]

    def lent(self, source: list | None) -> dict:
        """The ControlNet entries of `source`'s first conditioning, for other conditionings."""
        if not source:
            return {}
        values = {key: source[0][1][key] for key in _CONTROL_KEYS if key in source[0][1]}
        if values.get("control") is not None:
            values["control"] = self.control(values["control"])
        return values

    def conditioning(self, conditioning: list) -> list:
        """Conditioning as core's nodes pass it, on these parts.

        Pictures for inpainting models are left out of resized crops, whose owner makes them anew.
        ValueError for an area, which core measures from the corner of the whole latent.
        """
        cropped = []
        for context, values in plain_conditioning(conditioning):
            if "area" in values:
                raise ValueError(
                    "positive or negative holds an area (Conditioning Set Area), which cannot be "
                    "cut to parts of the picture. Use Conditioning Set Mask instead, or paint the "
                    "whole picture (tile 0)."
                )
            values = dict(values)
            if values.get("control") is not None:
                values["control"] = self.control(values["control"])
            for key in values.keys() & set(_CANVAS_KEYS):
                if key != "mask" and self.side:
                    del values[key]
                else:
                    values[key] = self.field(values[key])
            cropped.append([context, values])
        return cropped

    def people(self, people: People) -> People:
        """The same people on a tile."""
        if self.parts[0] == WHOLE:
            return people
        return people.with_regions(self.field)


class Painter(NamedTuple):
    """What a stock sampler takes."""

    model: ModelPatcher
    positive: list
    negative: list


class ForTile(Protocol):
    """Gives the painter of a part of the canvas."""

    def __call__(self, part: Rect) -> Painter: ...


def from_model(model: ModelPatcher, positive: list, negative: list) -> ForTile:
    """Painters over a plain model; a regional patch of ours is for the whole canvas and goes."""
    plain = without_regional(model)

    def for_tile(part: Rect) -> Painter:
        crop = CanvasCrop.tile(part)
        return Painter(plain, crop.conditioning(positive), crop.conditioning(negative))

    return for_tile


def from_people(
    people: People, positive: list | None = None, negative: list | None = None
) -> ForTile:
    """Painters that make the regional model anew for every part, with the people who stand there.

    `positive` and `negative` only lend their ControlNets; the texts are the people's own, and
    whatever `build` lays on them is made for the part and not cut again.
    """
    people = replace(
        people, follower=None
    )  # of the picture that is repainted the regions are known
    ready = prepare(people) if people.people else None

    def for_tile(part: Rect) -> Painter:
        crop = CanvasCrop.tile(part)
        here = build(crop.people(people), ready)
        sides = (
            [[context, {**values, **crop.lent(lent)}] for context, values in own]
            for own, lent in ((here.positive, positive), (here.negative, negative))
        )
        return Painter(here.model, *sides)

    return for_tile
