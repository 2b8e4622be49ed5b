"""Where the discs of one joint's colour lie in a pose map, though others cover parts of them."""

from collections.abc import Iterable

import numpy as np

from .palette import BLACK, OTHER, Labels

VISIBLE = 0.6
# A picture that is one colour all over is no skeleton; it shall not take for ever either.
_MOST = 200

# Centre x, y and the part of the disc, as far as it is in the picture, that shows its colour.
Disc = tuple[int, int, float]


def components(mask: np.ndarray) -> list[tuple[slice, slice]]:
    """Boxes (rows, columns) round the connected parts of a mask `[H,W]`."""
    from scipy import ndimage

    if not mask.any():
        return []
    marked = np.empty(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=np.ones((3, 3)), output=marked)
    return [box for box in ndimage.find_objects(marked) if box is not None]


def find(labels: Labels, joint: int, stamp: np.ndarray) -> list[Disc]:
    """Discs of the joint whose middle lies in the picture and of which enough is seen."""
    radius = len(stamp) // 2
    height, width = labels.map.shape
    found: list[Disc] = []
    # Discs whose middle lies outside reach into the picture too: the windows go beyond it.
    wide = np.pad(labels.map, radius, constant_values=OTHER)
    in_picture = np.pad(np.ones(labels.map.shape, dtype=bool), radius)
    for (y0, x0), (y1, x1) in _windows(labels.map == joint, radius):
        window = slice(y0 + radius, y1 + radius), slice(x0 + radius, x1 + radius)
        part, inside = wide[window], _count(in_picture[window], stamp)
        fit = _fit_exact if labels.exact else _fit_blurred
        found += [
            (x0 + x, y0 + y, share)
            for x, y, share in fit(part == joint, part == BLACK, inside, stamp)
            if 0 <= x0 + x < width and 0 <= y0 + y < height
        ]
    return found


def _windows(mask: np.ndarray, radius: int) -> list[list[list[int]]]:
    """Windows (y0, x0), (y1, x1) that hold whole discs: what crosses a disc cuts it in pieces, and
    pieces within a disc's reach of each other share a window."""
    boxes: list[np.ndarray] = []
    for rows, columns in components(mask):
        box = np.array([[rows.start, columns.start], [rows.stop, columns.stop]])
        box += [[-radius], [radius]]
        apart = []
        for other in boxes:
            if (box[0] < other[1]).all() and (other[0] < box[1]).all():
                box = np.stack([np.minimum(box[0], other[0]), np.maximum(box[1], other[1])])
            else:
                apart.append(other)
        boxes = [*apart, box]
    return [box.tolist() for box in boxes]


def _count(values: np.ndarray, stamp: np.ndarray) -> np.ndarray:
    """Sum of the values `[h,w]` in the disc round each point, row of the disc by row."""
    radius = len(stamp) // 2
    height, width = values.shape
    sums = np.zeros((height + 2 * radius, width + 2 * radius + 1))
    sums[radius : radius + height, radius + 1 : radius + 1 + width] = values
    np.cumsum(sums, axis=1, out=sums)
    total = np.zeros((height, width))
    for dy, half in enumerate((stamp.sum(axis=1) - 1) // 2):
        row = sums[dy : dy + height]
        total += row[:, radius + half + 1 : radius + half + 1 + width]
        total -= row[:, radius - half : radius - half + width]
    return total


def _fit_exact(
    own: np.ndarray, black: np.ndarray, inside: np.ndarray, stamp: np.ndarray
) -> list[Disc]:
    """Cover of a spot to the pixel: every pixel of it belongs to a disc, and no disc holds
    background.

    Discs of two people overlap in one colour, so a disc counts as seen by its colour, and which
    one lies on top does not matter. What another disc left over of one must say where it lies.
    """
    possible = (_count(black, stamp) < 0.5) & (inside > 0)
    share = np.where(possible, _count(own, stamp) / np.maximum(inside, 1), 0.0)
    shown = share >= VISIBLE - 1e-6
    cover = _needed(own, _cover(own, possible, share, shown, stamp), stamp)
    discs: list[Disc] = []
    for (y, x), explained in cover.items():
        if not shown[y, x]:
            continue
        alone = _left_by(own, (c for c in cover if c != (y, x)), stamp)
        whole = max(explained, alone[_around(y, x, stamp)].sum()) >= VISIBLE * inside[y, x] - 1e-6
        if whole or _tells_place(alone, (y, x), shown, stamp):
            discs.append((x, y, float(share[y, x])))
    return discs


def _cover(
    own: np.ndarray, possible: np.ndarray, share: np.ndarray, shown: np.ndarray, stamp: np.ndarray
) -> dict[tuple[int, int], float]:
    """Centres (y, x) of discs that hold all pixels of `own`, and how many each explained when it
    was taken.

    Taken in turn is the one that explains most; of equals the one that shows most, then the one
    with pixels that hardly another could have painted, or two neighbours would be taken for one
    between them.
    """
    rarity = 1 / np.maximum(_count(shown, stamp), 1)
    left = own.copy()
    cover: dict[tuple[int, int], float] = {}
    for _ in range(_MOST):
        explained = np.where(possible, _count(left, stamp), 0.0)
        best = explained.max()
        if best < 0.5:
            break
        ties = explained > best - 0.5
        ties &= share > share[ties].max() - 1e-6
        weight = np.where(ties, _count(left * rarity, stamp), 0.0)
        centre = _middle(*np.nonzero(weight > weight.max() - 1e-6))
        cover[centre] = float(best)
        _erase(left, *centre, stamp)
    return cover


def _needed(
    own: np.ndarray, cover: dict[tuple[int, int], float], stamp: np.ndarray
) -> dict[tuple[int, int], float]:
    """The cover without discs that lie between others: the best at their time, but now the others
    explain all that they do."""
    needed = dict(cover)
    for centre in cover:
        rest = _left_by(own, (c for c in needed if c != centre), stamp)
        if not rest[_around(*centre, stamp)].any():
            del needed[centre]
    return needed


def _left_by(own: np.ndarray, centres: Iterable[tuple[int, int]], stamp: np.ndarray) -> np.ndarray:
    left = own.copy()
    for y, x in centres:
        _erase(left, y, x, stamp)
    return left


def _tells_place(
    alone: np.ndarray, centre: tuple[int, int], shown: np.ndarray, stamp: np.ndarray
) -> bool:
    """Whether the pixels that one disc alone explains leave it hardly another place."""
    radius = len(stamp) // 2
    own = np.zeros_like(alone)
    around = _around(*centre, stamp)
    own[around] = alone[around]
    if own.sum() < radius:
        return False
    places = np.nonzero(shown & (_count(own, stamp) > own.sum() - 0.5))
    return bool(max(np.ptp(places[0]), np.ptp(places[1])) <= 2)


def _fit_blurred(
    own: np.ndarray, black: np.ndarray, inside: np.ndarray, stamp: np.ndarray
) -> list[Disc]:
    """Greedy cover of a spot by discs: the centre whose disc holds most of the spot's pixels and
    little background, then again without those pixels."""
    # JPEG halves the resolution of colour: up to 1.9 px of the rim mix with what is beside the disc.
    radius = len(stamp) // 2
    least = VISIBLE * (1 - 1.9 / max(radius, 3)) ** 2
    dark = _count(black, stamp)
    own = own.copy()
    yy, xx = np.ogrid[: own.shape[0], : own.shape[1]]
    discs: list[Disc] = []
    for _ in range(_MOST):
        held = _count(own, stamp)
        # Nothing black can lie in a painted disc, but a blurred rim may look black.
        score = np.where((dark <= 0.3 * stamp.sum()) & (inside > 0), held - dark, -np.inf)
        score[held < least * inside - 1e-6] = -np.inf
        best = score.max()
        if not np.isfinite(best):
            break
        cy, cx = _middle(*np.nonzero(score >= best - 0.5))
        discs.append((cx, cy, float(held[cy, cx] / inside[cy, cx])))
        own &= (yy - cy) ** 2 + (xx - cx) ** 2 > (radius + 0.5) ** 2
    return discs


def _middle(y: np.ndarray, x: np.ndarray) -> tuple[int, int]:
    """The one of some points that is nearest to their mean."""
    nearest = np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2)
    return int(y[nearest]), int(x[nearest])


def _around(cy: int, cx: int, stamp: np.ndarray) -> tuple[slice, slice]:
    """The part of a window that the disc's square covers; the window may end before it."""
    radius = len(stamp) // 2
    return (
        slice(max(0, cy - radius), cy + radius + 1),
        slice(max(0, cx - radius), cx + radius + 1),
    )


def _erase(mask: np.ndarray, cy: int, cx: int, stamp: np.ndarray) -> None:
    """Take a disc out of the mask, in place."""
    radius = len(stamp) // 2
    rows, columns = _around(cy, cx, stamp)
    part = mask[rows, columns]
    y, x = rows.start - cy + radius, columns.start - cx + radius
    part &= ~stamp[y : y + part.shape[0], x : x + part.shape[1]]
