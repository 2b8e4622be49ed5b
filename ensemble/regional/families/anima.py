"""Anima (`comfy/ldm/anima`): people by batch rows."""

from __future__ import annotations

from dataclasses import dataclass

from comfy import model_base

from .family import Family


@dataclass(frozen=True)
class AnimaFamily(Family):
    def recognises(self, model: model_base.BaseModel) -> bool:
        return isinstance(model, model_base.Anima)


ANIMA = AnimaFamily(name="Anima", unreached=r"llm_adapter\.")
"""Its adapter turns the language model's vectors into the text before sampling starts."""
