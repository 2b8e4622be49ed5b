"""Conditioning entries and batch rows of ours, and how they are told from others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from .texts import Texts

KEY = "ensemble"
"""Our key in conditioning entries, wrappers, callbacks and transformer options. Never core's
"hooks": that key makes core load a second copy of the model under dynamic VRAM."""
PART = f"{KEY}_part"
"""In `model_conds`: core batches rows only where it is equal, so all rows of a batch are of one part
of the canvas and, where texts stand in one sequence, have texts of the same lengths."""

POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True)
class Row:
    """What one conditioning entry of ours is.

    patch: identity of its RegionalPatch. person: index, or None for the base or everybody. inside:
    whether it counts only inside (True) or outside (False) the span; core's start_percent and
    end_percent include both ends, so that a step on the border would get the entries of both sides.
    text: it only carries a person's text for the base before it and never becomes a batch row.
    region `[H,W]`: the weight that its mask was made of (method = exact).
    """

    patch: str
    person: int | None
    inside: bool | None = None
    text: bool = False
    region: torch.Tensor | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class BatchRow:
    """One row of a batch that is ours.

    person: index, or None. texts: everybody's (method = fused). part: (height, width, top, left) of
    the canvas `[H,W]` in latent pixels, None for all of it. hooked: another node's hooks may change
    the weights under this row from step to step. isolate: how much people are kept from seeing each
    other at this step, 0 to 1. side: of CFG, 0 is the positive one. followed `[N,h,w]`: the regions at
    this step, where they are not those that were given.
    """

    person: int | None
    texts: Texts | None
    canvas: tuple[int, int]
    part: tuple[int, int, int, int] | None = None
    hooked: bool = False
    isolate: float = 0.0
    side: int = 0
    followed: torch.Tensor | None = field(default=None, compare=False, repr=False)


def isolate_of(rows: Sequence[BatchRow | None]) -> float:
    """The same for all of ours in a batch."""
    return next(row.isolate for row in rows if row)


def followed_of(rows: Sequence[BatchRow | None]) -> torch.Tensor | None:
    """The same for all of ours in a batch."""
    return next(row.followed for row in rows if row)


def forget_places(cache: dict, followed: torch.Tensor | None, kinds: Sequence[str]) -> None:
    """What a run keeps of regions, by the first word of its keys, is of no use when they changed."""
    if cache.get("followed") is not followed:
        for key in [key for key in cache if isinstance(key, tuple) and key[0] in kinds]:
            del cache[key]
        cache["followed"] = followed


@dataclass(frozen=True)
class Span:
    """The part of sampling in which people act, as fractions 0..1 of it (0 is the first step)."""

    start: float = 0.0
    end: float = 1.0

    @property
    def whole(self) -> bool:
        return self.start <= 0.0 and self.end >= 1.0

    def holds(self, model, sigma: float) -> bool:
        """As core decides it for conditioning entries with start_percent and end_percent."""
        sampling = model.model_sampling
        return sampling.percent_to_sigma(self.end) <= sigma <= sampling.percent_to_sigma(self.start)


WHOLE = Span()


def plain_conditioning(conditioning: list) -> list:
    """Conditioning without entries that only carry a person's text."""
    return [
        entry for entry in conditioning
        if not (isinstance(entry[1].get(KEY), Row) and entry[1][KEY].text)
    ]  # fmt: skip


def marked(conditioning: list, row: Row, **entries) -> list:
    """A copy of the conditioning whose entries carry our key and `entries`."""
    return [[context, {**values, KEY: row, **entries}] for context, values in conditioning]
