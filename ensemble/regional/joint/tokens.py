"""The token sequence of one forward pass with several texts: whose each token is, and how much of
it a person has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from ..families.family import Stream
from ..families.transformer import Grid, Texts
from ..isolation import Share, on_device, shares_of


class Say(NamedTuple):
    """What the picture's tokens listen to, and how much, `[T]`: a text with its person's reference; of a text of
    several people, with the reference of the member whose place it is. Both are indices of texts."""

    text: int
    weight: torch.Tensor
    reference: int | None = None


LEAST = 1e-6
"""What counts for less is a rounding error, and no weight."""


@dataclass
class TokenMap:
    """Texts first, then the picture, then people's reference pictures, as every family with one
    attention for all lays them. A reference is its person's, as their text is.

    weights `[K,T]`: how much each text says at each picture token; the columns sum to 1.
    gates `[N,T]`: how strongly each person's adapters act there. members: of each text of several people.
    """

    texts: Texts
    grid: Grid
    weights: torch.Tensor
    gates: torch.Tensor
    members: Mapping[int, Sequence[int]] = field(default_factory=dict)
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

    @property
    def says(self) -> list[Say]:
        if "says" not in self.cache:
            self.cache["says"] = [say for i in range(len(self.weights)) for say in self._says(i)]
        return self.cache["says"]

    def _says(self, index: int) -> Iterator[Say]:
        """A text beside theirs would take from who people are, so it speaks with their references."""
        spans, rest = self.texts.spans, self.weights[index]
        members = self.members.get(spans[index].person, ())
        with_them = [
            Say(index, rest * self.gates[span.person], at)
            for at, span in enumerate(spans)
            if span.reference and span.person in members
        ]
        yield from with_them
        rest = rest - sum(say.weight for say in with_them)
        rest = torch.where(rest > LEAST, rest, 0.0) if with_them else rest
        if rest.any() or not with_them:
            yield Say(index, rest)

    def where(self, like: torch.Tensor) -> list[tuple[torch.Tensor | None, torch.Tensor]]:
        """For each of `says`: the indices of the picture's tokens where it says something (None: all),
        and its weight there."""
        key = ("where", like.device)
        if key not in self.cache:
            self.cache[key] = [index_of(w > 0, w, like.device) for _, w, _ in self.says]
        return self.cache[key]


def index_of(chosen: torch.Tensor, weight: torch.Tensor, device: torch.device):
    """The indices of the chosen tokens (None: all), and the weight there."""
    if chosen.all():
        return None, weight.to(device)
    index = chosen.nonzero()[:, 0]
    return index.to(device), weight[index].to(device)
