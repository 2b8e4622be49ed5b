"""A model and its conditioning for a part of the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from comfy.controlnet import ControlBase
from comfy.model_patcher import ModelPatcher

from .build import build, prepare
from .patch import without_regional
from .people import People

CONTROL_KEYS = ("control", "control_apply_to_uncond")
# Entries of conditioning that are pictures of the whole canvas, [..., H, W].
_CANVAS_KEYS = ("mask", "concat_latent_image", "concat_mask")


@dataclass(frozen=True)
class Box:
    """A part of the canvas in fractions of it, 0..1."""

    left: float
    top: float
    right: float
    bottom: float

    def of(self, field: torch.Tensor) -> torch.Tensor:
        """This part of `[..., H, W]`; a single pixel stands for the whole canvas and is kept."""
        height, width = field.shape[-2:]
        if height == width == 1:
            return field
        top, left = round(self.top * height), round(self.left * width)
        bottom = max(top + 1, round(self.bottom * height))
        right = max(left + 1, round(self.right * width))
        return field[..., top:bottom, left:right]


class Painter(NamedTuple):
    """What a stock sampler takes."""

    model: ModelPatcher
    positive: list
    negative: list


class ForCrop(Protocol):
    """Gives the painter of a part of the canvas."""

    def __call__(self, box: Box) -> Painter: ...


def crop_control(control: ControlBase, box: Box) -> ControlBase:
    """A copy of a ControlNet (and of those before it) that sees its hint within `box`.

    Without this core would squeeze the hint of the whole canvas into every tile.
    """
    copy = control.copy()
    copy.cond_hint_original = box.of(control.cond_hint_original)
    copy.extra_concat_orig = [box.of(extra) for extra in control.extra_concat_orig]
    if control.previous_controlnet is not None:
        copy.set_previous_controlnet(crop_control(control.previous_controlnet, box))
    return copy


def crop_conditioning(conditioning: list, box: Box) -> list:
    """Conditioning as core's nodes pass it, for a part of the canvas.

    ValueError for an area, which core measures from the corner of the whole latent.
    """
    controls: dict[int, ControlBase] = {}
    cropped = []
    for context, values in conditioning:
        if "area" in values:
            raise ValueError(
                "positive or negative holds an area (Conditioning Set Area), which cannot be cut "
                "into tiles. Use Conditioning Set Mask, or set tile to 0."
            )
        values = dict(values)
        control = values.get("control")
        if control is not None:
            # Entries that share a ControlNet go on sharing it: core then runs it once for all.
            if id(control) not in controls:
                controls[id(control)] = crop_control(control, box)
            values["control"] = controls[id(control)]
        for key in _CANVAS_KEYS:
            if key in values:
                values[key] = box.of(values[key])
        cropped.append([context, values])
    return cropped


def from_model(model: ModelPatcher, positive: list, negative: list) -> ForCrop:
    """Painters over a plain model; a regional patch of ours is for the whole canvas and goes."""
    plain = without_regional(model)

    def for_crop(box: Box) -> Painter:
        return Painter(plain, crop_conditioning(positive, box), crop_conditioning(negative, box))

    return for_crop


def _with_controls(conditioning: list, source: list | None) -> list:
    """Every entry gets the ControlNets of `source`'s first entry."""
    if not source:
        return conditioning
    controls = {key: source[0][1][key] for key in CONTROL_KEYS if key in source[0][1]}
    return [[context, {**values, **controls}] for context, values in conditioning]


def from_people(
    people: People, positive: list | None = None, negative: list | None = None
) -> ForCrop:
    """Painters that make the regional model anew for every part, with the people who stand there.

    `positive` and `negative` only lend their ControlNets; the texts are the people's own.
    """
    ready = prepare(people) if people.people else None

    def for_crop(box: Box) -> Painter:
        here = build(people.cropped(box.left, box.top, box.right, box.bottom), ready)
        sides = (here.positive, positive), (here.negative, negative)
        parts = [crop_conditioning(_with_controls(own, lent), box) for own, lent in sides]
        return Painter(here.model, *parts)

    return for_crop
