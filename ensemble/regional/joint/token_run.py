"""What one run of method = fused knows of a transformer: whose each token is, and the layers that
people's adapters touch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import torch
from comfy.patcher_extension import WrappersMP
from torch import nn

from ...regions.weights import adapter_gates, region_weights
from ..families.transformer import BASE, Replacement, Texts, TextSpan, TransformerFamily
from ..parts import on_part
from ..rows import BatchRow, followed_of, forget_places
from ..stack import AdapterStack
from ..texts import Texts as Told
from .layers import with_stream_adapters
from .tokens import TokenMap

CONTEXT = 2
"""Where every supported model class takes the encoded text among the arguments of its forward."""
Entry = TypeVar("Entry", bound=TransformerFamily)


@dataclass
class TokenRun(Generic[Entry]):
    """masks `[N,H,W]` over the canvas; the last are of several people, whose indices `together` lists."""

    family: Entry
    masks: torch.Tensor
    base_strength: float
    adapters: AdapterStack
    cache: dict = field(default_factory=dict)
    """Lives for one run: tokens and layers by model, size and lengths of texts."""
    together: Sequence[Sequence[int]] = ()

    around: ClassVar[str] = WrappersMP.DIFFUSION_MODEL

    def clear(self) -> None:
        self.cache = {}

    def sequence(
        self, unet: nn.Module, rows: Sequence[BatchRow | None], args: tuple
    ) -> tuple[TokenMap, tuple[Told, ...]]:
        """The tokens of this forward pass, and everybody's texts for every row of its batch.
        ValueError for a latent of several frames."""
        if args[0].ndim == 5 and args[0].shape[2] > 1:
            raise ValueError(
                f"BreakRegionalPrompt: the latent holds {args[0].shape[2]} frames, and people have "
                f"their places in one picture. Use a latent of a single frame."
            )
        # Core batches rows only where their part of the canvas and their texts' lengths agree, so
        # that all are ours and any of them speaks for all.
        place, told = zip(
            *(((row.canvas, row.part), row.texts) for row in rows if row and row.texts), strict=True
        )
        followed = followed_of(rows)
        forget_places(self.cache, followed, ("tokens",))
        whole = self.masks if followed is None else followed
        return self._tokens(unet, args[0], args[CONTEXT].shape[1], place[0], told[0], whole), told

    def _tokens(
        self, unet: nn.Module, latent: torch.Tensor, base: int, place, told: Told, whole: torch.Tensor
    ):  # fmt: skip
        """The sequence with the base's text of `base` tokens and everybody's. Texts that say nothing
        anywhere are left out."""
        lengths, sizes = (
            (base, *told.lengths),
            (None, *(told.references or [None] * len(told.lengths))),
        )
        key = ("tokens", id(unet), *latent.shape[-2:], lengths, sizes, place, told.regions)
        if key not in self.cache:
            masks = on_part(whole if told.regions is None else told.regions, *place)
            grid = self.family.grid(unet, *latent.shape[-2:])
            weights = region_weights(masks, self.base_strength)
            heard = [i for i, weight in enumerate(weights) if weight.any()]
            spans = tuple(self._span(unet, i + BASE, lengths[i], sizes[i]) for i in heard)
            people = len(masks) - len(self.together)
            self.cache[key] = TokenMap(
                Texts(spans), grid, grid.of(weights[heard]), grid.of(adapter_gates(masks, people)),
                dict(enumerate(self.together, people)),
            )  # fmt: skip
        return self.cache[key]

    def _span(self, unet: nn.Module, person: int, raw: int, picture: tuple[int, int] | None):
        reference = self.family.grid(unet, *picture).tokens if picture else 0
        return TextSpan(person, raw, self.family.text_tokens(unet, raw), reference)

    def with_adapters(self, unet: nn.Module, tokens: TokenMap) -> Iterator[Replacement]:
        for layer, stack, rule in self._layers(unet):
            yield layer, "forward", with_stream_adapters(layer, stack, rule, tokens)

    def _layers(self, unet: nn.Module) -> list:
        """The layers that adapters touch, looked up in the model that really runs."""
        key = ("layers", id(unet))
        if key not in self.cache:
            self.cache[key] = [
                (unet.get_submodule(name), stack, *self.family.rules_of(name))
                for name, stack in self.adapters.items()
            ]
        return self.cache[key]
