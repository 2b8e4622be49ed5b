"""Model classes that `method = fused` knows by joint attention: one file and one line each."""

from __future__ import annotations

from comfy.ldm.lumina.model import NextDiT
from torch import nn

from ..family import JointFamily
from .z_image import NextDiTFamily

FAMILIES: dict[type[nn.Module], JointFamily] = {
    NextDiT: NextDiTFamily(),
}
"""By the exact class: a subclass may lay out its tokens otherwise."""


def family_of(unet: nn.Module) -> JointFamily | None:
    return FAMILIES.get(type(unet))
