"""method = exact: every person has batch rows of their own, with their own text and adapters.

The same mathematics as core's LoRA hooks, without rewriting a weight: the oracle for fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from comfy.patcher_extension import WrappersMP
from torch import nn

from .families.family import CrossAttentionFamily, Family
from .image_prompts import ImagePrompt, ImagePromptsByRow
from .layers_by_row import RowPeople, with_adapters_by_row
from .lifetime import replaced_forwards
from .rows import BatchRow
from .stack import AdapterStack


@dataclass
class Exact:
    """family, images: of people's pictures, where the model takes them by cross-attention."""

    adapters: AdapterStack
    cache: dict = field(default_factory=dict)
    family: Family | None = None
    images: Sequence[ImagePrompt | None] = ()

    around: ClassVar[str] = WrappersMP.APPLY_MODEL

    def clear(self) -> None:
        self.cache = {}

    def run(self, unet: nn.Module, rows: Sequence[BatchRow | None], call, args, options):
        people = tuple(-1 if row is None or row.person is None else row.person for row in rows)
        if people not in self.cache:
            self.cache[people] = RowPeople(people)
        if any(self.images) and isinstance(self.family, CrossAttentionFamily):
            sides = [row.side if row else 0 for row in rows]
            by_row = ImagePromptsByRow(self.images, people, sides, self.cache)
            replace = dict(options.get("patches_replace", {}))
            others = replace["attn2"] = dict(replace.get("attn2", {}))
            for block in self.family.cross_attentions(unet):
                inner = others.get(block.key, others.get(block.key[:2]))
                others[block.key] = by_row.replacement(block, inner)
            options["patches_replace"] = replace
        with replaced_forwards(self._replacements(unet, self.cache[people])):
            return call()

    def _replacements(self, unet: nn.Module, rows: RowPeople):
        for name, stack in self.adapters.items():
            layer = unet.get_submodule(name)
            yield layer, with_adapters_by_row(layer, stack, rows)
