"""The registry of kinds of adapters: each says in one file how a forward pass can add its change.

Everything else, and what has no cheap form (whole differences, DoRA along the input channels, LoHa
of high rank), is held as the whole difference of the weight that core's own merging makes. All are
exact; what differs is time and memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...core import WeightPatch, factors_of
from .forms import Form, Kronecker, Slice
from .glora import GLORA
from .kind import Change, Kind, Target
from .loha import LOHA
from .lokr import LOKR
from .lora import LORA
from .oft import OFT
from .product import Factors

KINDS: tuple[Kind, ...] = (LORA, LOHA, LOKR, GLORA, OFT)


def changes_of(
    patch: WeightPatch, shape: torch.Size, running: Callable[[], torch.Tensor]
) -> tuple[Change, ...] | None:
    """One patch of a weight `[out, in, ...]` of that shape, at its strength, in its cheap forms; None
    where only the whole difference holds it.

    running: gives the weight as it is before this patch. ValueError for what one person cannot have.
    """
    parts = factors_of(patch.patch)
    kind = next((kind for kind in KINDS if type(parts) is kind.factors), None)
    axis, start, length = patch.offset or (0, 0, shape[0])
    if kind is None or axis != 0:
        return None
    sliced = length != shape[0]
    target = Target(
        patch, torch.Size((length, *shape[1:])), lambda: running().float().narrow(0, start, length)
    )
    found = kind.change(parts, target)
    if found is None:
        return None
    found = found if isinstance(found, tuple) else (found,)
    if patch.function is not None:
        return _through(patch, found)
    if sliced:
        return _in_rows(found, start, shape[0])
    return found


def _through(patch: WeightPatch, found: tuple[Change, ...]) -> tuple[Change, ...] | None:
    """Core's functions exchange output channels (scale and shift of a modulation), so that they may
    be applied to the rows of `up`."""
    (first, *more) = found
    if more or patch.offset or not isinstance(first, Factors) or first.gain is not None:
        return None
    return (Factors(patch.function(first.up), first.down),)


def _in_rows(found: tuple[Change, ...], start: int, total: int) -> tuple[Change, ...] | None:
    out: list[Factors | Form] = []
    for change in found:
        if isinstance(change, Factors):
            out.append(change.in_rows(start, total))
        elif isinstance(change, Kronecker):
            out.append(Slice(change, start, total))
        else:
            return None
    return tuple(out)
