"""People's texts, which travel beside the scene's as conditioning entries of their own.

Whatever a node does to conditioning (zero it, append to it, average it, schedule it) it does to
every entry, so it is done to every person's text as it would be on a graph of their own. The
entries are read here, once a step, and never become rows of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from comfy.conds import CONDCrossAttn

CHUNK_LIMIT = 16
"""Longest padding, in multiples of the shortest text, that sharing one batch is worth."""


@dataclass(frozen=True, eq=False)
class Texts:
    """contexts: for each person `[1,T,C]`, as this model's `extra_conds` made it. regions `[N,h,w]`:
    where people stand, if another node cut the canvas; else None. references: for each person
    the (height, width) of their reference latent, None without one."""

    contexts: tuple[torch.Tensor, ...]
    regions: torch.Tensor | None = None
    references: tuple[tuple[int, int] | None, ...] = ()

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of every person's text."""
        return tuple(context.shape[1] for context in self.contexts)


class LostTextError(ValueError):
    def __init__(self, what: str):
        super().__init__(
            f"BreakRegionalPrompt: a node between it and the sampler dropped the text of {what} from "
            f"the conditioning (it keeps only one of its entries). Apply that node before "
            f"BreakRegionalPrompt, or choose method = exact."
        )


def texts_of_bases(
    entries: Sequence[dict | None],
    key: str,
    count: int,
    sigma: torch.Tensor,
    people: int | None = None,
) -> dict[int, tuple[dict, ...]]:
    """Index of each base entry that acts at `sigma` -> the entry of everybody's text.

    entries: of one side of CFG, None for those that are not ours. A base's texts follow it; a copy
    of a base that core appended takes those of the side's first. count: of texts, the first `people` of
    which are a person's (None: all). LostTextError where the scene or a
    person has no text.
    """
    groups: list[tuple[list[int], dict[int, list[dict]]]] = []
    for index, entry in enumerate(entries):
        if entry is None:
            continue
        row = entry[key]
        if row.text:
            if not groups:
                raise LostTextError("the scene")
            groups[-1][1].setdefault(row.person, []).append(entry)
        elif row.inside is not False:
            if not groups or groups[-1][1]:
                groups.append(([], {}))
            groups[-1][0].append(index)
    found = {}
    for bases, texts in groups:
        texts = texts or groups[0][1]
        for index in bases:
            if acts(entries[index], sigma):
                found[index] = _everybody(entries[index], texts, count, sigma, people)
    return found


def _everybody(base, texts: dict[int, list[dict]], count: int, sigma, people: int | None):
    chosen = [_chosen(base, texts.get(person, []), sigma) for person in range(count)]
    missing = [person for person, entry in enumerate(chosen) if entry is None]
    if missing:
        persons = [str(who + 1) for who in missing if people is None or who < people]
        raise LostTextError(
            f"person {', '.join(persons)}" if persons else "what several people do together"
        )
    return tuple(chosen)


def _chosen(base: dict, texts: Sequence[dict], sigma: torch.Tensor) -> dict | None:
    """Of a schedule of texts the one that acts now; on a border, that of the base's own time."""
    acting = [entry for entry in texts if acts(entry, sigma)]
    same = [e for e in acting if e.get("timestep_start") == base.get("timestep_start")]
    return (same or acting or [None])[-1]


def acts(entry, sigma: torch.Tensor) -> bool:
    """As core decides it for an entry with a schedule; reading sigma waits for the device."""
    if "timestep_start" in entry and sigma > entry["timestep_start"]:
        return False
    return not ("timestep_end" in entry and sigma < entry["timestep_end"])


def common_length(lengths: Sequence[int]) -> int | None:
    """Tokens to which texts are repeated so that they share a batch; None where that would cost
    more than a run of their own. Core by itself batches texts whose common length is at most four
    times the shorter."""
    common = math.lcm(*lengths)
    return common if common <= CHUNK_LIMIT * min(lengths) else None


def repeated(entry: dict, tokens: int) -> dict:
    """The entry with its text repeated to so many tokens, which cross-attention does not see."""
    conds = entry["model_conds"]
    context = conds["c_crossattn"].cond
    longer = context.repeat(1, tokens // context.shape[1], 1)
    return {**entry, "model_conds": {**conds, "c_crossattn": CONDCrossAttn(longer)}}
