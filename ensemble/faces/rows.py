"""Faces as the rows of one batch: each with its own text, LoRA, ControlNet picture and mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import comfy.utils
import torch
from comfy.controlnet import ControlBase

from ..regional.build import CHUNK_LIMIT
from ..regional.crops import CONTROL_KEYS
from ..regional.exact import Exact
from ..regional.patch import Row
from ..regions.rect import Rect


@dataclass
class FaceRows:
    """method = exact by batch item: item i of every conditioning entry is face i, whose person is
    owners[i] (-1: nobody, no LoRA)."""

    exact: Exact
    owners: tuple[int, ...]

    def clear(self) -> None:
        self.exact.clear()

    def run(self, unet, rows: Sequence[Row | None], call, args, options):
        faces = len(self.owners)
        mine = [
            None if row is None else Row(row.patch, self.owners[i % faces], row.kind)
            for i, row in enumerate(rows)
        ]
        return self.exact.run(unet, mine, call, args, options)


def common_length(lengths: Sequence[int]) -> int | None:
    """Tokens to which texts can be repeated so that they share a batch, which cross-attention does
    not see; None where that costs more than a run of their own."""
    common = math.lcm(*lengths)
    return common if common <= CHUNK_LIMIT * min(lengths) else None


def joined(entries: Sequence[list], tokens: int) -> list:
    """One conditioning entry whose batch items are `entries`' texts, each repeated to `tokens`.

    Tensors that all entries have in one shape (pooled vectors, attention masks) are laid in the
    batch too; anything else is the first entry's.
    """
    contexts = [context.repeat(1, tokens // context.shape[1], 1) for context, _ in entries]
    values = dict(entries[0][1])
    for key, first in values.items():
        others = [entry[1].get(key) for entry in entries]
        if isinstance(first, torch.Tensor) and all(
            isinstance(other, torch.Tensor) and other.shape == first.shape for other in others
        ):
            values[key] = torch.cat(others)
    return [torch.cat(contexts), values]


@dataclass
class FaceControls:
    """Copies of ControlNets whose hint is, item by item, what lies in each face's crop.

    pictures[i] is the picture of the batch that face i is in. The same ControlNet gives the same
    copy, so that core runs it once for the entries of both sides.
    """

    boxes: Sequence[Rect]
    pictures: Sequence[int]
    size: int

    def __post_init__(self) -> None:
        self._copies: dict[int, ControlBase] = {}

    def of(self, control: ControlBase) -> ControlBase:
        if id(control) not in self._copies:
            copy = control.copy()
            method = control.upscale_algorithm
            copy.cond_hint_original = self.crops(control.cond_hint_original, method)
            copy.extra_concat_orig = [self.crops(e, method) for e in control.extra_concat_orig]
            if control.previous_controlnet is not None:
                copy.set_previous_controlnet(self.of(control.previous_controlnet))
            self._copies[id(control)] = copy
        return self._copies[id(control)]

    def crops(self, field: torch.Tensor, method: str = "bilinear") -> torch.Tensor:
        """`[b,...,H,W]` of whole pictures -> `[faces,...,size,size]`."""
        plain = field[:, None] if field.ndim == 3 else field
        parts = [
            comfy.utils.common_upscale(
                box.cut(plain[i % plain.shape[0]][None]), self.size, self.size, method, "disabled"
            )
            for box, i in zip(self.boxes, self.pictures, strict=True)
        ]
        stacked = torch.cat(parts)
        return stacked[:, 0] if field.ndim == 3 else stacked

    def lent(self, source: list | None) -> dict:
        """The ControlNet entries of the first conditioning of `source`."""
        if not source:
            return {}
        values = {key: source[0][1][key] for key in CONTROL_KEYS if key in source[0][1]}
        if values.get("control") is not None:
            values["control"] = self.of(values["control"])
        return values

    def conditioning(self, conditioning: list) -> list:
        """Conditioning for the whole canvas, for the faces. ValueError for an area."""
        cropped = []
        for context, values in conditioning:
            if "area" in values:
                raise ValueError(
                    "positive or negative holds an area (Conditioning Set Area), which cannot be "
                    "cut to faces. Use Conditioning Set Mask instead."
                )
            # A canvas for an inpainting model is made anew from the crops.
            values = {k: v for k, v in values.items() if k not in _REMADE}
            if values.get("control") is not None:
                values["control"] = self.of(values["control"])
            if "mask" in values:
                values["mask"] = self.crops(values["mask"])
            cropped.append([context, values])
        return cropped


_REMADE = ("concat_latent_image", "concat_mask")
