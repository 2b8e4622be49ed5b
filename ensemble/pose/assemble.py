"""Joints found in a pose map -> people, along the painted limbs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..regions.body18 import BODY_POINTS
from . import raster
from .draw import limb_ellipses
from .palette import BLACK, LIMB0, Labels
from .skeleton import LIMBS, Skeleton

_PLAIN = 0.3  # part of a limb's ellipse that shows its colour where little lies over it
_LEAST = 0.03  # the same, at the least, in a blurred picture
# Part that may be background: ends are thin, and whole degrees turn a long limb by some pixels.
_BARE = 0.12
# In a picture without whole discs: a limb that shows so much is there, though another drawer made it
# thinner at its ends.
_SURE = 0.6
_BARE_INSIDE = 0.02
_COVERED = 0.01
# A joint that no limb leads to must show this much: in JPEGs where two colours meet others appear.
_LONE = 0.4


@dataclass(frozen=True)
class Candidate:
    """A disc of one joint's colour. share: the part of it that shows, 0..1."""

    joint: int
    x: int
    y: int
    share: float


@dataclass(frozen=True)
class _Link:
    limb: int
    a: int
    b: int
    score: float


def assemble(found: Sequence[Candidate], labels: Labels, radius: int) -> list[Skeleton]:
    """People of the joints `found`: each joint is in one person, each person has a joint once."""
    links = [link for limb in range(len(LIMBS)) for link in _links(limb, found, labels, radius)]
    groups = _Groups(found)
    for link in sorted(links, key=lambda link: -link.score):
        groups.join(link.a, link.b)
    _join_over_hidden_joints(groups, links, found, labels, radius)
    people = []
    for members in groups.all():
        if len(members) == 1 and found[members[0]].share < _LONE:
            continue
        body = np.zeros((BODY_POINTS, 3))
        for i in members:
            body[found[i].joint] = (found[i].x, found[i].y, 1.0)
        people.append(Skeleton.of(body))
    return people


class _Groups:
    """Sets of joints that are one person: no kind of joint twice."""

    def __init__(self, found: Sequence[Candidate]) -> None:
        self._found = found
        self._group = {i: {i} for i in range(len(found))}

    def join(self, a: int, b: int) -> bool:
        one, two = self._group[a], self._group[b]
        if one is two:
            return False
        if {self._found[i].joint for i in one} & {self._found[i].joint for i in two}:
            return False
        one |= two
        for i in two:
            self._group[i] = one
        return True

    def of(self, i: int) -> set[int]:
        return self._group[i]

    def all(self) -> list[list[int]]:
        return [sorted(g) for i, g in self._group.items() if min(g) == i]


def _links(limb: int, found: Sequence[Candidate], labels: Labels, radius: int) -> list[_Link]:
    """The pairs of joints that one kind of limb connects, each joint at most once."""
    from scipy.optimize import linear_sum_assignment

    first, second = LIMBS[limb]
    starts = [i for i, c in enumerate(found) if c.joint == first]
    ends = [i for i, c in enumerate(found) if c.joint == second]
    if not starts or not ends:
        return []
    score = np.array(
        [[_evidence(limb, found[a], found[b], labels, radius) for b in ends] for a in starts]
    )
    rows, columns = linear_sum_assignment(-score)
    return [
        _Link(limb, starts[r], ends[c], float(score[r, c]))
        for r, c in zip(rows, columns, strict=True)
        if score[r, c] > 0
    ]


def _evidence(limb: int, a: Candidate, b: Candidate, labels: Labels, radius: int) -> float:
    """How much of the ellipse between two joints shows this limb's colour: 0 not this limb, 1 all.

    Other limbs may lie over it, but nowhere in it can there be background.
    """
    length = float(np.hypot(b.x - a.x, b.y - a.y))
    if length < 2 * (radius + 1) + 1:
        # The discs hide the limb between them, and joints that close belong together.
        return 0.5 if min(a.share, b.share) >= _LONE else 0.0
    t = np.linspace((radius + 1) / length, 1 - (radius + 1) / length, max(3, int(length / 2)))
    if _bare(a, b, t, labels).mean() > _BARE:
        return 0.0
    pixels = _ellipse(a, b, labels.map.shape, radius)
    away = np.minimum(
        (pixels.x - a.x) ** 2 + (pixels.y - a.y) ** 2, (pixels.x - b.x) ** 2 + (pixels.y - b.y) ** 2
    )
    free = away > (radius + 1) ** 2
    seen = labels.map[pixels.y[free], pixels.x[free]]
    own = float((seen == LIMB0 + limb).mean()) if len(seen) else 0.0
    bare = float((seen == BLACK).mean()) if len(seen) else 0.0
    if own >= _PLAIN or not labels.exact:
        return own if own >= _SURE or (own >= _LEAST and bare <= _BARE) else 0.0
    # Hardly any of it shows: then all the rest must be covered. Last choice of all.
    return max(own, _COVERED) if bare <= _BARE_INSIDE else 0.0


def _ellipse(a: Candidate, b: Candidate, shape: tuple[int, ...], radius: int) -> raster.Pixels:
    """The limb's ellipse less a rim of a pixel: the joints' fractions are not known."""
    ends = np.array([[(a.x + 0.5, a.y + 0.5)], [(b.x + 0.5, b.y + 0.5)]])
    middle, half, angle = limb_ellipses(ends[0], ends[1])
    axes = np.c_[np.maximum(half - 1, 0), np.full_like(half, max(radius - 2, 0))]
    return raster.fill_polygons(raster.ellipse_polygons(middle, axes, angle), shape[0], shape[1])


def _bare(a: Candidate, b: Candidate, t: np.ndarray, labels: Labels) -> np.ndarray:
    """Whether it is background, for more than a pixel round, at the points a + t(b - a)."""
    height, width = labels.map.shape
    x = np.rint(a.x + t * (b.x - a.x)).astype(int)
    y = np.rint(a.y + t * (b.y - a.y)).astype(int)
    bare = np.ones(len(t), dtype=bool)
    for dy, dx in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        bare &= labels.map[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)] == BLACK
    return bare


def _join_over_hidden_joints(
    groups: _Groups,
    links: Sequence[_Link],
    found: Sequence[Candidate],
    labels: Labels,
    radius: int,
) -> None:
    """Pieces of one person whose connecting joint is hidden: their limbs still point to one place.

    The joint itself stays missing. Two limbs that end in one kind of hidden joint belong together
    where the lines along them meet at the ends of both.
    """
    linked = {(link.limb, i) for link in links for i in (link.a, link.b)}
    tails = []
    for limb, (first, second) in enumerate(LIMBS):
        for i, c in enumerate(found):
            if c.joint in (first, second) and (limb, i) not in linked:
                hidden = second if c.joint == first else first
                tail = _tail(limb, c, links, found, labels, radius)
                if tail is not None:
                    tails.append((hidden, i, tail))
    meetings = []
    for n, (hidden, i, one) in enumerate(tails):
        for other_hidden, j, two in tails[n + 1 :]:
            if hidden == other_hidden:
                off = _miss(found[i], one, found[j], two)
                if off <= 4 * radius + 4:
                    meetings.append((off, i, j, hidden))
    for _, i, j, hidden in sorted(meetings):
        kinds = {found[k].joint for k in groups.of(i) | groups.of(j)}
        if hidden not in kinds:
            groups.join(i, j)


def _tail(
    limb: int,
    start: Candidate,
    links: Sequence[_Link],
    found: Sequence[Candidate],
    labels: Labels,
    radius: int,
) -> np.ndarray | None:
    """Where the limb from `start` is last seen, `[2]`: the end of its longest line of colour."""
    height, width = labels.map.shape
    y, x = np.nonzero(labels.map == LIMB0 + limb)
    if not len(x):
        return None
    away = np.hypot(x - start.x, y - start.y)
    near = (away > radius) & (away <= 3 * radius + 2)
    best, best_own = None, 0
    for angle in np.unique(np.round(np.arctan2(y[near] - start.y, x[near] - start.x), 2)):
        way = np.array([np.cos(angle), np.sin(angle)])
        reach = np.arange(radius + 1, int(away.max()) + 1)
        px = np.rint(start.x + reach * way[0]).astype(int)
        py = np.rint(start.y + reach * way[1]).astype(int)
        inside = (px >= 0) & (px < width) & (py >= 0) & (py < height)
        seen = labels.map[py[inside], px[inside]]
        run = len(seen) if not (seen == BLACK).any() else int((seen == BLACK).argmax())
        own = np.flatnonzero(seen[:run] == LIMB0 + limb)
        if len(own) > best_own:
            best, best_own = np.array([start.x, start.y]) + way * reach[own[-1]], len(own)
    return best if best_own >= 3 else None


def _miss(a: Candidate, tail_a: np.ndarray, b: Candidate, tail_b: np.ndarray) -> float:
    """How far the meeting point of two lines lies beyond the ends of their limbs, in pixels."""
    p, q = np.array([a.x, a.y], dtype=float), np.array([b.x, b.y], dtype=float)
    u, v = tail_a - p, tail_b - q
    cross = u[0] * v[1] - u[1] * v[0]
    if abs(cross) < 0.1 * np.linalg.norm(u) * np.linalg.norm(v):
        return float(np.linalg.norm(tail_a - tail_b))
    w = q - p
    meet = p + u * ((w[0] * v[1] - w[1] * v[0]) / cross)
    return float(max(np.linalg.norm(meet - tail_a), np.linalg.norm(meet - tail_b)))
