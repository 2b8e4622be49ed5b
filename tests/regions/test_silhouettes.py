"""Regions drawn in to silhouettes: on pictures of known silhouettes, and by properties."""

import pytest
import torch
from ensemble_portraits.ensemble.regions.rect import Rect
from ensemble_portraits.ensemble.regions.silhouettes import CELLS, grid_for, silhouettes, sure_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

GRID = (40, 56)


def oval(x: float, y: float, wide: float, tall: float) -> torch.Tensor:
    rows, columns = torch.meshgrid(*(torch.arange(side) + 0.5 for side in GRID), indexing="ij")
    return ((columns - x) / wide) ** 2 + ((rows - y) / tall) ** 2 <= 1


def world(seed: int, count: int = 2):
    """Silhouettes `[N,h,w]`, boxes round them, heads, and a picture `[4,h,w]`: everybody of a look of
    their own, and a scenery of two bands, under noise and blur."""
    random = torch.Generator().manual_seed(seed)
    shown, boxes, heads = [], [], []
    for who in range(count):
        x = (who + 0.5) * GRID[1] / count
        body = oval(x, 26, 4 + 2 * torch.rand(1, generator=random), 11)
        shown.append(body | oval(x, 12, 4.5, 5))
        box = torch.zeros(GRID)
        box[4:39, int(x) - 10 : int(x) + 11] = 1
        boxes.append(box)
        heads.append(Rect.pixels(x - 3, 9, x + 3, 15).as_fractions(width=GRID[1], height=GRID[0]))
    looks = torch.randn(count + 2, 4, generator=random)
    looks = torch.linalg.qr(looks.T).Q.T if count == 2 else looks
    picture = looks[0][:, None, None].expand(4, *GRID).clone()
    picture[:, 22:] = looks[1][:, None, None]
    for who, body in enumerate(shown):
        picture[:, body] = looks[2 + who][:, None]
    picture = picture + 0.1 * torch.randn(picture.shape, generator=random)
    blurred = ndimage.gaussian_filter(picture.numpy(), (0, 0.6, 0.6))
    return torch.stack(shown), torch.stack(boxes), heads, torch.from_numpy(blurred)


def iou(regions: torch.Tensor, shown: torch.Tensor) -> float:
    owner = torch.cat([1 - regions.sum(0, keepdim=True), regions]).argmax(0)
    each = [
        ((owner == i) & one).sum() / ((owner == i) | one).sum() for i, one in enumerate(shown, 1)
    ]
    return float(torch.stack(each).mean())


@pytest.mark.parametrize("seed", range(6))
def test_boxes_become_the_silhouettes(seed):
    shown, boxes, _, picture = world(seed)
    found = silhouettes(sure_of(boxes, GRID), picture)
    assert iou(boxes, shown) < 0.5
    assert iou(found, shown) > 0.85


@pytest.mark.parametrize("seed", range(3))
def test_thin_bodies_grow_to_what_is_painted(seed):
    """A wide coat, which no skeleton tells, and nothing of the margin that nobody fills."""
    shown, _, heads, picture = world(seed)
    near = torch.stack(
        [torch.from_numpy(ndimage.binary_dilation(s.numpy(), iterations=4)) for s in shown]
    )
    thin = torch.stack([oval((who + 0.5) * 28, 24, 1.6, 13).float() for who in range(2)])
    found = silhouettes(sure_of(near.float(), GRID, thin, heads), picture)
    assert iou(near.float(), shown) < 0.65 and iou(thin, shown) < 0.6
    assert iou(found, shown) > 0.85


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.booleans())
def test_sums_stay_people_are_one_piece_and_heads_are_kept(seed, count, thin):
    """Whatever the picture shows, which here is noise."""
    random = torch.Generator().manual_seed(seed)
    masks = torch.rand(count, 10, 14, generator=random)
    masks = torch.nn.functional.interpolate(masks[None], GRID, mode="bilinear")[0] ** 2
    heads = world(seed, count)[2]
    sure = sure_of(masks, GRID, masks if thin else None, heads)
    found = silhouettes(sure, torch.randn(4, *GRID, generator=random))
    assert found.min() >= 0 and found.sum(0).max() <= 1 + 1e-5
    owner = torch.cat([1 - found.sum(0, keepdim=True), found]).argmax(0)
    for who, core in enumerate(sure.cores, 1):
        mine = owner == who
        if (mine & core).any():
            pieces, count_of = ndimage.label(mine.numpy())  # type: ignore[misc]
            assert all(((pieces == n) & core.numpy()).any() for n in range(1, count_of + 1))
    kept = sure.kept
    assert torch.allclose(found[:, kept], sure.weights[1:][:, kept], atol=1e-6)


def test_a_head_that_looks_like_the_sky_stays_its_owners():
    _, boxes, heads, picture = world(1)
    sky = picture[:, 0, 0]
    picture[:, :18] = sky[:, None, None]
    trunks = torch.stack([oval(x, 27, 2, 8).float() for x in (14, 42)])
    found = silhouettes(sure_of(boxes, GRID, trunks, heads), picture)
    assert found[0, 12, 14] == 1.0 and found[1, 12, 42] == 1.0
    # Without being told of it nobody could know.
    assert silhouettes(sure_of(boxes, GRID, trunks), picture)[0, 12, 14] < 0.5


def test_permuting_people_changes_nothing_and_an_empty_region_stays_empty():
    _, boxes, heads, picture = world(2)
    order = [1, 0]
    found = silhouettes(sure_of(boxes, GRID, heads=heads), picture)
    again = silhouettes(sure_of(boxes[order], GRID, heads=heads[::-1]), picture)
    assert torch.allclose(again, found[order], atol=1e-5)
    three = torch.cat([boxes, torch.zeros(1, *GRID)])
    assert silhouettes(sure_of(three, GRID), picture)[2].max() == 0


def test_regions_that_leave_no_scenery_go_on_filling_the_picture():
    halves = torch.zeros(2, *GRID)
    halves[0, :, :28], halves[1, :, 28:] = 1, 1
    found = silhouettes(sure_of(halves, GRID), world(3)[3])
    assert torch.allclose(found.sum(0), torch.ones(GRID), atol=1e-5)
    assert silhouettes(sure_of(torch.zeros(1, *GRID), GRID), world(3)[3]).max() == 0


def test_a_flat_picture_leaves_finite_regions_round_their_cores():
    _, boxes, _, _ = world(4)
    found = silhouettes(sure_of(boxes, GRID), torch.zeros(4, *GRID))
    assert torch.isfinite(found).all()
    assert found[0, 22, 14] > 0.5 and found[0, 22, 27] < 0.5


def test_large_latents_are_looked_at_on_a_coarser_grid():
    assert grid_for(24, 36) == (24, 36)
    rows, columns = grid_for(128, 256)
    assert rows * columns <= CELLS * 1.05 and columns == pytest.approx(2 * rows, abs=1)
