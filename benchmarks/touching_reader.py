"""Who is seen where in a picture of two drawn people, by the colours that they wear."""

from __future__ import annotations

import numpy as np

SCENERY = ((176, 222, 248), (150, 204, 112), (124, 188, 92))
"""The meadow's sky and greens."""


def wardrobe(who: int) -> np.ndarray:
    """The colours of an identity, RGB."""
    from dolls.world import IDENTITIES
    from dolls.world.words import CLOTHES, SIGNATURE, SKINS

    one = IDENTITIES[who]
    return np.array(
        [*(SIGNATURE[c] for c in one.hair), SKINS[one.skin], CLOTHES[one.shirt], CLOTHES[one.bottom[1]]],
        np.float32,
    )  # fmt: skip


def as_painted(pixels: np.ndarray, order) -> np.ndarray:
    """`[2,H,W]` of bool: who is seen where, by the nearest colour of either or of the scenery, the
    latter as the picture's rim has it. Outlines and what is like both go with their neighbours."""
    from scipy import ndimage

    rim = np.ones(pixels.shape[:2], bool)
    rim[4:-4, :] = False
    rim[: pixels.shape[0] // 3, : pixels.shape[1] // 6] = True
    rim[: pixels.shape[0] // 3, -pixels.shape[1] // 6 :] = True
    scenery = np.concatenate([pixels[rim][::37].astype(np.float32), np.array(SCENERY, np.float32)])
    kinds = [scenery, *(wardrobe(who) for who in order)]
    far = np.stack(
        [
            np.sqrt(((pixels[:, :, None].astype(np.float32) - kind) ** 2).sum(-1)).min(-1)
            for kind in kinds
        ]
    )
    likeness = np.stack([ndimage.gaussian_filter(np.exp(-one / 25), 1.5) for one in far])
    owner = likeness.argmax(0)
    found = np.stack([owner == who for who in (1, 2)])
    for one in found:
        pieces, count = ndimage.label(one)  # type: ignore[misc]
        if count:
            sizes = ndimage.sum_labels(one, pieces, range(1, count + 1))
            one &= np.isin(pieces, 1 + np.flatnonzero(sizes >= 0.1 * max(sizes)))
    return found


def iou(regions: np.ndarray, seen: np.ndarray) -> float:
    """A point is whose region is largest there, or the scenery's."""
    owner = np.concatenate([1 - regions.sum(0, keepdims=True), regions]).argmax(0)
    each = [
        ((owner == i) & one).sum() / max(1, ((owner == i) | one).sum())
        for i, one in enumerate(seen, 1)
    ]
    return float(np.mean(each))


SEEN = 0.25
"""In parts of `hair_of_drawing`: a head that shows less of anybody is nobody's."""


def hair_of_drawing(identity: int) -> float:
    """What a drawing of this identity's head shows of its hair, by `identity_scores`."""
    import random

    from dolls.world import draw, identity_scores, make_scene

    scene = make_scene(random.Random(1), shape="portrait", identities=(identity,))
    return identity_scores(np.asarray(draw(scene)), scene.people[0].head_box)[identity]
