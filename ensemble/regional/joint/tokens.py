"""The token sequence of one forward pass with several texts: whose each token is, and how much of
it a person has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ...regions.weights import reduce_to
from .streams import Stream

BASE = -1
"""Stands for the scene's own text, where a person's index (0 is the first) would stand."""


@dataclass(frozen=True)
class Grid:
    """The picture's tokens: rows times columns, then `pads` that stand for no place."""

    rows: int
    columns: int
    pads: int = 0

    @property
    def tokens(self) -> int:
        return self.rows * self.columns + self.pads

    def of(self, planes: torch.Tensor) -> torch.Tensor:
        """`[N,H,W]` -> `[N,tokens]`: area means; a pad has the mean of the picture."""
        places = reduce_to(planes, self.rows, self.columns).flatten(1)
        pads = places.mean(1, keepdim=True).expand(-1, self.pads)
        return torch.cat([places, pads], 1)


@dataclass(frozen=True)
class TextSpan:
    """One text of the sequence.

    person: its index, or BASE. raw: tokens as the encoder gave them. tokens: as the blocks see
    them, with the model's own padding.
    """

    person: int
    raw: int
    tokens: int


@dataclass
class TokenMap:
    """Texts first, then the picture, as every supported family lays them.

    weights `[K,T]`: how much each text says at each picture token; the columns sum to 1.
    gates `[N,T]`: how strongly each person's adapters act there.
    """

    texts: tuple[TextSpan, ...]
    grid: Grid
    weights: torch.Tensor
    gates: torch.Tensor
    running: int | None = None
    """Index of the text that runs alone just now, where a family embeds texts one by one."""
    cache: dict = field(default_factory=dict)

    @property
    def lengths(self) -> list[int]:
        return [text.tokens for text in self.texts]

    @property
    def raw_lengths(self) -> list[int]:
        return [text.raw for text in self.texts]

    @property
    def text_tokens(self) -> int:
        return sum(self.lengths)

    @property
    def tokens(self) -> int:
        return self.text_tokens + self.grid.tokens

    def gate(self, stream: Stream, owners: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """`[tokens of the stream, R]`: for every rank column of `owners`, how strongly it acts on
        each token. 1 on its person's own text, 0 on others' texts, the region in the picture."""
        key = (stream, owners, self.running, like.dtype, like.device)
        if key not in self.cache:
            gate = self._gate(stream, torch.tensor(owners, dtype=torch.long))
            self.cache[key] = gate.to(like.device, like.dtype)
        return self.cache[key]

    def _gate(self, stream: Stream, owners: torch.Tensor) -> torch.Tensor:
        image = self.gates[owners].T
        if stream is Stream.IMAGE:
            return image
        if stream is Stream.TEXT_ROWS:
            return self._own_text(owners, self.raw_lengths)
        if stream is Stream.TEXT and self.running is not None:
            text = self.texts[self.running]
            return (owners == text.person).float()[None]
        text = self._own_text(owners, self.lengths)
        return text if stream is Stream.TEXT else torch.cat([text, image])

    def _own_text(self, owners: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        people = torch.tensor([text.person for text in self.texts])
        whose = people.repeat_interleave(torch.tensor(lengths))
        return (whose[:, None] == owners[None]).float()

    def mean(self, owners: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """`[R]`: the share of the picture that each column's person has."""
        key = ("mean", owners, like.dtype, like.device)
        if key not in self.cache:
            index = torch.tensor(owners, dtype=torch.long)
            self.cache[key] = self.gates.mean(1)[index].to(like.device, like.dtype)
        return self.cache[key]
