"""What a model makes of people's texts before it looks at the picture or the step: made once per run.

The scene's text is made anew at every step, as on a plain graph: core hands it over as a new tensor
each time, and another node may have changed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from ..families.transformer import BASE, Replacement, Texts
from ..texts import Texts as Told


@dataclass
class KeptTexts:
    """told: everybody's texts for each row of the batch. kept: what was made of them, by module and
    the tensors of the text; the caller's, for one run."""

    texts: Texts
    told: tuple[Told, ...]
    kept: dict

    def replacements(self, modules: Iterable[nn.Module]) -> Iterator[Replacement]:
        """modules: see `JointAttentionFamily.text_modules`."""
        for module in modules:
            yield module, "forward", self._text_by_text(module)

    def _text_by_text(self, module: nn.Module) -> Callable:
        """Takes tensors with the tokens of all texts on the second axis."""
        make = module.forward

        def forward(*inputs, **more):
            texts = range(len(self.texts.spans))
            return torch.cat([self._of(i, module, make, inputs, more) for i in texts], 1)

        return forward

    def _of(self, index: int, module: nn.Module, make: Callable, inputs: tuple, more: dict):
        person = self.texts.spans[index].person
        if person == BASE:
            return self._made(index, make, inputs, more)
        contexts = [each.contexts[person] for each in self.told]
        # The spans hold the lengths of the other texts too: these move a text's positions, and rounding.
        key = (id(module), self.texts.spans, index, *map(id, contexts))
        out, _ = self.kept.get(key, (None, None))
        if out is None:
            out = self._made(index, make, inputs, more)
            self.kept[key] = out, contexts  # so that the ids of these are not given to others
        return out

    def _made(self, index: int, make: Callable, inputs: tuple, more: dict) -> torch.Tensor:
        lengths = self.texts.lengths
        mine = [
            part.split(lengths, 1)[index] if isinstance(part, torch.Tensor) else part
            for part in inputs
        ]
        self.texts.running = index
        try:
            return make(*mine, **more)
        finally:
            self.texts.running = None
