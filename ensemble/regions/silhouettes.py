"""Regions that follow what is painted: boxes and capsules drawn in to the silhouettes of people.

A half-painted picture says at every point whether it looks like what is surely a person (the core of a
region: a thin body, or the inner part of a box) or like what is surely scenery (where no region is).
That, with a word for the core's neighbourhood, decides who stands there; whose a point is, where people
meet, the regions go on saying.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from .rect import Rect
from .weights import reduce_to

CELLS = 64 * 64
"""Silhouettes are found on at most about so many points."""
_SEEDS = 1024  # of each kind are looked at
_LIKENESS = 12.0  # how much a difference of one deviation of the picture counts
_NEARNESS = 2.0  # how much the shorter side of the picture counts
_BETWEEN = 0.25  # how much looks count among people, whose regions say who is whose
# Log-odds that somebody is there, without looking: at the core, and how much less at a region's border.
_AT_CORE, _AT_BORDER = 1.0, 6.0
_INNER = 0.7  # the core of a region without skeleton: so deep, of its deepest point
_SOMEBODYS = 0.5


@dataclass(frozen=True)
class Sure:
    """What of regions is sure, on a grid. weights `[N+1,h,w]`: scenery, then people, summing to 1.
    cores `[N,h,w]`, scenery, kept `[h,w]` of bool; kept: heads, which keep their weights. there `[h,w]`:
    log-odds that somebody is there, without looking."""

    weights: torch.Tensor
    cores: torch.Tensor
    scenery: torch.Tensor
    kept: torch.Tensor
    there: torch.Tensor


def grid_for(height: int, width: int) -> tuple[int, int]:
    """(rows, columns) for a picture of this shape."""
    coarse = min(1.0, (CELLS / (height * width)) ** 0.5)
    return max(1, round(height * coarse)), max(1, round(width * coarse))


def sure_of(
    masks: torch.Tensor, grid: tuple[int, int], thin: torch.Tensor | None = None,
    heads: Sequence[Rect | None] = (),
) -> Sure:  # fmt: skip
    """masks `[N,H,W]`; thin `[N,H,W]`: regions without margin, where skeletons tell them; heads: in
    fractions of the canvas, one or None for each."""
    own = reduce_to(masks, *grid).clamp(0, 1)
    own = own / own.sum(0, keepdim=True).clamp(min=1.0)
    weights = torch.cat([1 - own.sum(0, keepdim=True), own])
    owner, somebodys = weights.argmax(0), own.sum(0) >= _SOMEBODYS
    mine = (own >= own.amax(0) - 1e-3) & somebodys  # both, where two share alike
    if thin is None:
        cores = torch.stack([_inner(one) for one in mine])
    else:
        cores = (reduce_to(thin, *grid) >= _SOMEBODYS) & mine
    kept = torch.zeros(grid, dtype=torch.bool)
    for who, head in enumerate(heads):
        if head is not None:
            found = _oval(head, grid) & (owner == who + 1)
            cores[who] |= found
            kept |= found
    scenery = ~somebodys & ~cores.any(0)
    return Sure(weights, cores, scenery, kept, _there(cores.any(0), somebodys))


def silhouettes(sure: Sure, picture: torch.Tensor) -> torch.Tensor:
    """Regions `[N,h,w]` of people in a picture `[C,h,w]` of the same grid, on any device. With scenery
    they sum to 1; each is one with its core, and heads keep what they had."""
    points = _points(picture)
    from_scenery = _unlike(points, sure.scenery)
    likely = [core & _stands_out(core, from_scenery) for core in sure.cores]
    unlike = torch.stack([from_scenery, *(_unlike(points, core) for core in likely)])
    unlike = unlike.view(len(unlike), *sure.kept.shape).cpu()
    regions = sure.weights[1:]
    someone = regions.sum(0)
    if sure.scenery.any():
        someone = torch.sigmoid(unlike[0] - unlike[1:].amin(0) + sure.there)
    whose = torch.log(regions + 1e-6) - _BETWEEN * unlike[1:]
    whose[~regions.flatten(1).any(1)] = -torch.inf
    whose = torch.nan_to_num(torch.softmax(whose, 0))  # nobody anywhere
    found = torch.cat([1 - someone[None], someone * whose])
    found = torch.where(sure.kept, sure.weights, found)
    return _connected(found, sure.cores)[1:]


def _there(core: torch.Tensor, somebodys: torch.Tensor) -> torch.Tensor:
    if not core.any():
        return torch.full(core.shape, -_AT_BORDER)
    from_core = torch.from_numpy(ndimage.distance_transform_edt(~core.numpy())).float()
    beyond = torch.from_numpy(ndimage.distance_transform_edt(somebodys.numpy())).float()
    way = torch.where(somebodys, from_core / (from_core + beyond), 1.0)
    return _AT_CORE - _AT_BORDER * way


def _inner(mine: torch.Tensor) -> torch.Tensor:
    if not mine.any():
        return mine
    # The canvas's border is no border of a region.
    deep = ndimage.distance_transform_edt(np.pad(mine.numpy(), 1, mode="edge"))[1:-1, 1:-1]  # type: ignore[index]
    return torch.from_numpy(deep >= _INNER * deep.max())


def _oval(head: Rect, grid: tuple[int, int]) -> torch.Tensor:
    """The points of the grid in the oval that fills the head's box."""
    rows, columns = grid
    y = (torch.arange(rows) + 0.5) / rows
    x = (torch.arange(columns) + 0.5) / columns
    tall, wide = (head.bottom - head.top) / 2, (head.right - head.left) / 2
    y = (y - (head.top + head.bottom) / 2) / max(tall, 1e-6)
    x = (x - (head.left + head.right) / 2) / max(wide, 1e-6)
    return y[:, None] ** 2 + x**2 <= 1.0


def _stands_out(core: torch.Tensor, from_scenery: torch.Tensor) -> torch.Tensor:
    """Without what of a core looks like the scenery: a slender person leaves room in a broad box."""
    far = from_scenery.view(core.shape).cpu()
    return far >= 0.5 * far[core].median() if core.any() else core


def _points(picture: torch.Tensor) -> torch.Tensor:
    """Look and place of every point, `[h*w,C+2]`."""
    channels, rows, columns = picture.shape
    look = picture.float()
    look = look - look.mean((1, 2), keepdim=True)
    look = look * (_LIKENESS / (look.std().clamp(min=1e-6) * channels**0.5))
    y = torch.arange(rows, device=look.device) * (_NEARNESS / min(rows, columns))
    x = torch.arange(columns, device=look.device) * (_NEARNESS / min(rows, columns))
    place = torch.stack(torch.meshgrid(y, x, indexing="ij"))
    return torch.cat([look, place.to(look)]).flatten(1).T


def _unlike(points: torch.Tensor, seeds: torch.Tensor) -> torch.Tensor:
    """How unlike every point is to the most alike of some seeds, `[h*w]`."""
    index = seeds.flatten().nonzero()[:, 0]
    index = index[:: max(1, -(-len(index) // _SEEDS))].to(points.device)
    if not len(index):
        return points.new_full((len(points),), 1e3)
    return torch.cdist(points, points[index]).amin(1)


def _connected(found: torch.Tensor, cores: torch.Tensor) -> torch.Tensor:
    """Weights `[N+1,h,w]` whose largest, where it is a person's, is joined to that person's core. What
    is not goes to the others who have a share of the point."""
    for _ in cores:
        owner, lost = found.argmax(0), torch.zeros_like(found, dtype=torch.bool)
        for who, core in enumerate(cores, 1):
            mine = owner == who
            if (mine & core).any():
                pieces, _ = ndimage.label(mine.numpy())  # type: ignore[misc]
                joined = np.unique(pieces[(mine & core).numpy()])
                lost[who] = mine & ~torch.from_numpy(np.isin(pieces, joined))
        if not lost.any():
            break
        found = torch.where(lost, 0.0, found)
        rest = found.sum(0, keepdim=True)
        found = torch.where(rest > 1e-6, found / rest.clamp(min=1e-6), found)
        found[0] += torch.where(rest[0] > 1e-6, 0.0, 1 - found.sum(0))
    return found
