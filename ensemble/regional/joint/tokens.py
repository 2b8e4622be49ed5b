"""The token sequence of one forward pass with several texts: whose each token is, and how much of
it a person has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..families.family import Stream
from ..families.transformer import Grid, Texts
from ..isolation import Share, on_device, shares_of


@dataclass
class TokenMap:
    """Texts first, then the picture, then people's reference pictures, as every family with one
    attention for all lays them. A reference is its person's, as their text is.

    weights `[K,T]`: how much each text says at each picture token; the columns sum to 1.
    gates `[N,T]`: how strongly each person's adapters act there.
    """

    texts: Texts
    grid: Grid
    weights: torch.Tensor
    gates: torch.Tensor
    cache: dict = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        return self.texts.tokens + self.grid.tokens + sum(self.texts.references)

    def gate(self, stream: Stream, owners: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """`[tokens of the stream, R]`: for every rank column of `owners`, how strongly it acts on
        each token. 1 on its person's own text, 0 on others' texts, the region in the picture."""
        key = (stream, owners, self.texts.running, like.dtype, like.device)
        if key not in self.cache:
            gate = self._gate(stream, torch.tensor(owners, dtype=torch.long))
            self.cache[key] = gate.to(like.device, like.dtype)
        return self.cache[key]

    def _gate(self, stream: Stream, owners: torch.Tensor) -> torch.Tensor:
        texts, image = self.texts, self.gates[owners].T
        if texts.references:
            pictures = self._own(owners, [span.reference for span in texts.spans])
            image = torch.cat([image, pictures])
        if stream is Stream.IMAGE:
            return image
        if stream in (Stream.TEXT, Stream.TEXT_ROWS) and texts.running is not None:
            return (owners == texts.spans[texts.running].person).float()[None]
        if stream is Stream.TEXT_ROWS:
            return self._own(owners, texts.raw_lengths)
        text = self._own(owners, texts.lengths)
        return text if stream is Stream.TEXT else torch.cat([text, image])

    def _own(self, owners: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        people = torch.tensor([span.person for span in self.texts.spans])
        whose = people.repeat_interleave(torch.tensor(lengths))
        return (whose[:, None] == owners[None]).float()

    def mean(self, owners: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """`[R]`: the share of the picture that each column's person has."""
        key = ("mean", owners, like.dtype, like.device)
        if key not in self.cache:
            index = torch.tensor(owners, dtype=torch.long)
            self.cache[key] = self.gates.mean(1)[index].to(like.device, like.dtype)
        return self.cache[key]

    def shares(self, like: torch.Tensor) -> list[Share]:
        """Which of the picture's tokens see which when people are isolated; pads are nobody's."""
        key = ("shares", like.device)
        if key not in self.cache:
            gates = self.gates.clone()
            gates[:, self.grid.rows * self.grid.columns :] = 0.0
            self.cache[key] = on_device(shares_of(gates), like.device)
        return self.cache[key]

    def where(self, like: torch.Tensor) -> list[tuple[torch.Tensor | None, torch.Tensor]]:
        """For each text: the indices of the picture's tokens where it says something (None: all),
        and its weight there."""
        key = ("where", like.device)
        if key not in self.cache:
            self.cache[key] = [index_of(w > 0, w, like.device) for w in self.weights]
        return self.cache[key]


def index_of(chosen: torch.Tensor, weight: torch.Tensor, device: torch.device):
    """The indices of the chosen tokens (None: all), and the weight there."""
    if chosen.all():
        return None, weight.to(device)
    index = chosen.nonzero()[:, 0]
    return index.to(device), weight[index].to(device)
