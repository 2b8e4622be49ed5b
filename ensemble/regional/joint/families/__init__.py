"""Models that `method = fused` knows by joint attention: one file and one line each."""

from __future__ import annotations

from comfy import model_base

from ..family import JointFamily
from .flux import ChromaFamily, FluxFamily
from .krea2 import Krea2Family
from .qwen_image import QwenImageFamily
from .z_image import NextDiTFamily

FAMILIES: dict[type[model_base.BaseModel], JointFamily] = {
    model_base.Lumina2: NextDiTFamily(),
    model_base.Krea2: Krea2Family(),
    model_base.Flux: FluxFamily(),
    model_base.Flux2: FluxFamily(),
    model_base.Chroma: ChromaFamily(),
    model_base.QwenImage: QwenImageFamily(),
}
"""By ComfyUI's exact class: a subclass may lay out its tokens otherwise (LongCat-Image counts the
picture's positions from its text's length, Z-Image in pixel space has another last layer)."""


def family_of(model: model_base.BaseModel) -> JointFamily | None:
    return FAMILIES.get(type(model))
