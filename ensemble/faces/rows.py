"""Faces as the rows of one batch: each with its own text, LoRA, ControlNet picture and mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..regional.exact import Exact
from ..regional.rows import BatchRow


@dataclass
class FaceRows:
    """method = exact by batch item: item i of every conditioning entry is face i, whose person is
    owners[i] (-1: nobody, no LoRA)."""

    exact: Exact
    owners: tuple[int, ...]

    def clear(self) -> None:
        self.exact.clear()

    def run(self, unet, rows: Sequence[BatchRow | None], call, args, options):
        faces = len(self.owners)
        mine = [
            None if row is None else replace(row, person=self.owners[i % faces])
            for i, row in enumerate(rows)
        ]
        return self.exact.run(unet, mine, call, args, options)


def joined(entries: Sequence[list], tokens: int) -> list:
    """One conditioning entry whose batch items are `entries`' texts, each repeated to `tokens`.

    Tensors that all entries have in one shape (pooled vectors, attention masks) are laid in the
    batch too; anything else is the first entry's.
    """
    contexts = [context.repeat(1, tokens // context.shape[1], 1) for context, _ in entries]
    values = dict(entries[0][1])
    for key, first in values.items():
        others = [entry[1].get(key) for entry in entries]
        if isinstance(first, torch.Tensor) and all(
            isinstance(other, torch.Tensor) and other.shape == first.shape for other in others
        ):
            values[key] = torch.cat(others)
    return [torch.cat(contexts), values]
