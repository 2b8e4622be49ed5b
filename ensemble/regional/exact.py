"""method = exact: every person has batch rows of their own, with their own text and adapters.

The same mathematics as core's LoRA hooks, without rewriting a weight: the oracle for fused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from .gates import RowGate
from .layers import with_adapters
from .lifetime import replaced_forwards
from .patch import Row
from .stack import AdapterStack
from .variants import WeightVariants


@dataclass
class Exact:
    adapters: AdapterStack
    variants: WeightVariants
    """Layers that no product of low rank expresses, with a whole weight per person."""
    cache: dict = field(default_factory=dict)

    def clear(self) -> None:
        self.cache = {}

    def run(self, unet: nn.Module, rows: Sequence[Row | None], call, args, options):
        people = tuple(-1 if row is None or row.person is None else row.person for row in rows)
        if people not in self.cache:
            self.cache[people] = RowGate(torch.tensor(people))
        gate = self.cache[people]
        with replaced_forwards(self._replacements(unet, gate, people)):
            return call()

    def _replacements(self, unet: nn.Module, gate: RowGate, people: tuple[int, ...]):
        """One after the other, since a layer may get both and the second wraps the first."""
        for name, stack in self.adapters.items():
            layer = unet.get_submodule(name)
            yield layer, with_adapters(layer, stack, gate)
        yield from self.variants.replacements(unet, people)
