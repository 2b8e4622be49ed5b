"""Which joint or limb each pixel of a pose map shows, and whether a picture is a pose map."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .draw import COLOURS, LIMB_COLOURS

BLACK, WHITE, OTHER = 253, 254, 255
LIMB0 = len(COLOURS)  # labels: joint i is i, limb i is LIMB0 + i
_DARK = 40  # brighter than JPEG's ringing on black, darker than any limb
_NEAR = 62.0  # neighbours in the palette are 51 (limbs) to 85 (joints) apart; JPEG smears edges
# JPEG keeps brightness to the pixel and colour at half the resolution: where red meets magenta it
# paints what looks like the joint of an ear, but is as bright as red or magenta.
_COLOUR_WEIGHT = 0.25
_NEAR_SMEARED = 75.0
_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)  # ITU-T T.871


@dataclass(frozen=True, eq=False)
class Labels:
    """`map` `[H,W]` of labels; `exact` where every pixel has a colour the drawers use."""

    map: np.ndarray
    exact: bool


def label(image: np.ndarray) -> Labels:
    """Labels of an RGB uint8 picture `[H,W,3]`: by equal colours, else by the nearest ones."""
    packed = _pack(image)
    colours, names = _exact_palette()
    place = np.minimum(np.searchsorted(colours, packed), len(colours) - 1)
    known = colours[place] == packed
    if known.mean() > 0.999:
        return Labels(np.where(known, names[place], OTHER).astype(np.uint8), True)
    red, green, blue = (image[..., c] >> 3 for c in range(3))
    return Labels(_nearest()[red, green, blue], False)


def sharpened(labels: Labels, image: np.ndarray) -> Labels:
    """The labels of a picture without exact colours, once more by brightness first."""
    if labels.exact:
        return labels
    shown = labels.map != BLACK
    pixels = image[shown].astype(np.float32)
    palette, names = _palette()
    axes = (_TO_YCBCR * np.sqrt([[1], [_COLOUR_WEIGHT], [_COLOUR_WEIGHT]])).astype(np.float32)
    seen, wanted = pixels @ axes.T, palette.astype(np.float32) @ axes.T
    # |a - b|^2 = |a|^2 - 2ab + |b|^2, and |a| is the same for every b.
    best = ((wanted**2).sum(axis=1) - 2 * seen @ wanted.T).argmin(axis=1)
    near = ((pixels - palette[best]) ** 2).sum(axis=1) <= _NEAR_SMEARED**2
    map = labels.map.copy()
    map[shown] = np.where(near, names[best], OTHER)
    return Labels(map, False)


def looks_drawn(labels: Labels) -> bool:
    """Whether this is a pose map: mostly black, and what is not black has the drawers' colours."""
    black = labels.map == BLACK
    shown = labels.map[~black]
    if labels.exact:
        return len(shown) > 0 and bool((shown < WHITE).any())
    if black.mean() < 0.5 or len(shown) < 20:
        return False
    return float((shown < BLACK).mean()) > 0.6


def _pack(image: np.ndarray) -> np.ndarray:
    wide = image.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


@lru_cache(maxsize=1)
def _exact_palette() -> tuple[np.ndarray, np.ndarray]:
    """Packed colours in rising order and their labels. Colours of hand lines count as OTHER."""
    import colorsys

    table = {0: BLACK, 0xFFFFFF: WHITE}
    for i in range(20):
        for rounded in (int, round):  # drawers differ in how they round the hand's rainbow
            rgb = [rounded(255 * c) for c in colorsys.hsv_to_rgb(i / 20, 1.0, 1.0)]
            table[rgb[0] << 16 | rgb[1] << 8 | rgb[2]] = OTHER
    for offset, colours in ((LIMB0, LIMB_COLOURS), (0, COLOURS)):
        table.update({int(c): offset + i for i, c in enumerate(_pack(colours))})
    keys = sorted(table)
    return np.array(keys, dtype=np.uint32), np.array([table[k] for k in keys], dtype=np.uint8)


def _palette() -> tuple[np.ndarray, np.ndarray]:
    """Colours `[36,3]` of joints, limbs and face dots, and their labels."""
    palette = np.concatenate([COLOURS, LIMB_COLOURS, [[255, 255, 255]]]).astype(np.float64)
    return palette, np.array([*range(LIMB0 + len(LIMB_COLOURS)), WHITE], dtype=np.uint8)


@lru_cache(maxsize=1)
def _nearest() -> np.ndarray:
    """`[32,32,32]` labels of the nearest palette colour to each 8x8x8 cell of RGB."""
    steps = np.arange(32) * 8.0 + 4.0
    cells = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    palette, names = _palette()
    distance = np.stack([((cells - c) ** 2).sum(-1) for c in palette])
    best = distance.argmin(axis=0)
    labels = np.where(distance.min(axis=0) <= _NEAR**2, names[best], OTHER)
    return np.where(cells.max(axis=-1) < _DARK, BLACK, labels).astype(np.uint8)
