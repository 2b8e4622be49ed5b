"""Mask algebra against SciPy, kornia and core nodes, and by its own laws."""

import math

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.regions import masks
from ensemble_portraits.ensemble.regions.masks import Length, parse_length
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

SEEDS = st.integers(0, 2**31)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def blobs(seed: int, size: int = 64) -> torch.Tensor:
    """Two smooth random masks with parts, holes and soft edges, `[2,size,size]`."""
    rough = noise(seed, 2, 1, size, size)
    smooth = torch.nn.functional.avg_pool2d(rough, 9, 1, 4)[:, 0]
    return ((smooth - smooth.mean()) * 8 + 0.5).clamp(0, 1)


def disc(size: int, radius: float, x: float | None = None) -> torch.Tensor:
    """`[1,size,size]`, hard."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    middle = (size - 1) / 2
    near = (row - middle) ** 2 + (column - (middle if x is None else x)) ** 2 <= radius**2
    return near[None].float()


def polygon(points: np.ndarray, size: int = 96) -> torch.Tensor:
    """The convex hull of points in 0..1, `[1,size,size]`, well inside the picture."""
    from scipy.spatial import ConvexHull, Delaunay

    corners = points[ConvexHull(points).vertices] * size * 0.6 + size * 0.2
    cells = np.stack(np.mgrid[:size, :size], axis=-1).reshape(-1, 2)
    inside = Delaunay(corners).find_simplex(cells) >= 0
    return torch.from_numpy(inside.reshape(1, size, size)).float()


@pytest.mark.parametrize("density", [0.4, 0.05, 0.002])
def test_distance_is_that_to_the_nearest_of_all_pixels(density):
    region = noise(1, 2, 37, 53) < density
    region[:, 5, 5] = True
    found = masks.distance_to(region)
    places = torch.cartesian_prod(torch.arange(37.0), torch.arange(53.0))
    for distance, one in zip(found, region, strict=True):
        nearest = torch.cdist(places, one.nonzero().float()).amin(1).view(37, 53)
        torch.testing.assert_close(distance, nearest)


def test_distance_to_nothing_is_infinite():
    region = torch.zeros(2, 8, 9, dtype=torch.bool)
    region[1] = True
    distance = masks.distance_to(region)
    assert distance[0].isinf().all() and (distance[1] == 0).all()


@given(SEEDS, st.floats(0, 12))
@settings(max_examples=30, deadline=None)
def test_growing_a_hard_mask_is_the_set_within_the_distance(seed, amount):
    mask = (noise(seed, 1, 40, 50) < 0.01).float()
    mask[0, 20, 20] = 1
    grown, used = masks.grow(mask, torch.tensor([amount]))
    distance = ndimage.distance_transform_edt(mask[0].numpy() == 0)
    # One pixel of ramp outward of the distance, as the docstring of grow has it.
    expected = np.clip(1 + amount - distance, 0, 1) if amount else mask[0].numpy()
    np.testing.assert_allclose(grown[0].numpy(), expected, atol=1e-5)
    assert used.item() == pytest.approx(amount)


@pytest.mark.parametrize("amount", [1, 2, 5, 9])
def test_growing_equals_kornias_dilation_by_a_disc(amount):
    import kornia.morphology

    mask = (blobs(3) > 0.7).float()
    kernel = disc(2 * amount + 1, amount)[0]
    expected = kornia.morphology.dilation(mask[:, None], kernel)[:, 0]
    grown = masks.grow(mask, torch.full((2,), float(amount)))[0]
    assert torch.equal((grown == 1).float(), expected)


@given(SEEDS, st.floats(0.5, 6))
@settings(max_examples=25, deadline=None)
def test_shrinking_is_growing_what_is_outside(seed, amount):
    mask = (blobs(seed) > 0.4).float()
    distance = torch.full((2,), amount)
    shrunk, used = masks.grow(mask, -distance)
    if torch.equal(used, -distance):
        outside = masks.grow(1 - mask, distance)[0]
        torch.testing.assert_close(shrunk, 1 - outside, atol=1e-5, rtol=0)


@given(st.integers(0, 10**6), st.floats(1, 15))
@settings(max_examples=40, deadline=None)
def test_growing_and_shrinking_back_returns_convex_shapes_within_a_pixel(seed, amount):
    mask = polygon(np.random.default_rng(seed).random((8, 2)))
    distance = torch.tensor([amount])
    back = masks.grow(masks.grow(mask, distance)[0], -distance)[0] >= 0.5
    changed = back != (mask >= 0.5)
    edge = masks.signed_distance(mask).abs()
    assert edge[changed].max() <= 1 if changed.any() else True


@pytest.mark.parametrize("amount", [-9.0, -3.5, 4.0, 11.0])
def test_a_disc_there_and_back_is_the_same_disc_within_a_pixel(amount):
    mask = disc(96, 25)
    distance = torch.tensor([amount])
    back = masks.grow(masks.grow(mask, distance)[0], -distance)[0] >= 0.5
    changed = back != (mask >= 0.5)
    assert not changed.any() or masks.signed_distance(mask).abs()[changed].max() <= 1


def test_growing_by_nothing_keeps_soft_edges():
    mask = blobs(1)
    amounts = torch.tensor([0.0, 3.0])
    grown, _ = masks.grow(mask, amounts)
    assert torch.equal(grown[0], mask[0])
    assert not torch.equal(grown[1], mask[1])


def test_a_shrink_stops_before_nothing_is_left_in_that_picture_alone():
    mask = torch.cat([disc(64, 6), disc(64, 20)])
    shrunk, used = masks.grow(mask, torch.tensor([-10.0, -10.0]))
    assert (shrunk[0] >= 0.5).any()
    assert -10 < used[0] < 0
    assert used[1] == -10
    assert not masks.grow(torch.zeros(1, 9, 9), torch.tensor([-3.0]))[0].any()


def test_the_border_of_the_picture_is_no_edge():
    mask = torch.zeros(1, 40, 40)
    mask[:, 20:] = 1
    shrunk, _ = masks.grow(mask, torch.tensor([-5.0]))
    assert (shrunk[0, 25:] == 1).all()
    assert (shrunk[0, :24] == 0).all()
    full = torch.ones(1, 20, 20)
    assert torch.equal(masks.grow(full, torch.tensor([-8.0]))[0], full)


@given(st.floats(1.5, 30))
@settings(max_examples=20, deadline=None)
def test_feather_is_a_straight_ramp_of_that_width_across_the_edge(width):
    mask = torch.zeros(1, 5, 80)
    mask[..., 40:] = 1
    ramp = masks.feather(mask, torch.tensor([width]))[0, 2]
    # The edge lies between pixels 39 and 40, at 39.5.
    expected = ((torch.arange(80) - 39.5) / width + 0.5).clamp(0, 1)
    torch.testing.assert_close(ramp, expected, atol=1e-5, rtol=0)


@given(SEEDS, st.floats(0, 12))
@settings(max_examples=20, deadline=None)
def test_feather_commutes_with_invert_and_keeps_the_half_way_line(seed, width):
    mask = blobs(seed)
    mask = torch.where((mask - 0.5).abs() < 1e-3, 0.4, mask)
    wide = torch.full((2,), width)
    soft = masks.feather(mask, wide)
    torch.testing.assert_close(masks.feather(1 - mask, wide), 1 - soft, atol=1e-5, rtol=0)
    assert torch.equal(soft >= 0.5, mask >= 0.5)
    far = masks.signed_distance(mask).abs() >= width / 2
    if width > 1:
        assert torch.equal(soft[far], (mask[far] >= 0.5).float())


@given(SEEDS, SEEDS)
@settings(max_examples=15, deadline=None)
def test_union_and_subtraction_are_cores(first, second):
    from comfy_extras.nodes_mask import MaskComposite

    one, two = blobs(first), blobs(second)
    union = masks.union(torch.stack([one, two]))
    np.testing.assert_array_equal(union, np.maximum(one.numpy(), two.numpy()))
    assert torch.equal(union, masks.union(torch.stack([two, one])))
    expected = MaskComposite.execute(one, two, 0, 0, "subtract").args[0]
    torch.testing.assert_close(masks.subtract(one, two), expected, atol=0, rtol=0)
    assert not masks.subtract(one, one).any()
    hard = (one > 0.5).float()
    expected = MaskComposite.execute(hard, (two > 0.5).float(), 0, 0, "or").args[0]
    assert torch.equal(masks.union(torch.stack([hard, (two > 0.5).float()])), expected)


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_all_holes_filled_is_scipys(seed):
    mask = blobs(seed)
    filled = masks.fill_holes(mask, 1.0)
    for one, found in zip(mask, filled, strict=True):
        # SciPy, too, joins what is outside by edges; a hole as large as the mask is kept by us.
        expected = ndimage.binary_fill_holes(one.numpy() >= 0.5)
        grown = ndimage.label(expected & (one.numpy() < 0.5))
        sizes = np.bincount(grown[0].ravel())[1:]
        if not sizes.size or sizes.max() < (one >= 0.5).sum():
            assert torch.equal(found >= 0.5, torch.from_numpy(expected))
    assert torch.equal(filled[mask >= 0.5], mask[mask >= 0.5])


def test_only_holes_below_the_share_are_filled_and_bays_stay():
    mask = torch.zeros(1, 60, 60)
    mask[:, 10:50, 10:50] = 1
    mask[:, 14:17, 14:17] = 0
    mask[:, 25:40, 25:40] = 0.2
    mask[:, 10:20, 44:46] = 0
    filled = masks.fill_holes(mask, 0.02)
    assert (filled[:, 14:17, 14:17] == 1).all()
    assert (filled[:, 25:40, 25:40] == 0.2).all()
    assert (filled[:, 10:20, 44:46] == 0).all()
    assert torch.equal(masks.fill_holes(mask, 0.0), mask)


def test_islands_below_the_share_vanish_with_their_soft_edge():
    mask = disc(80, 15, x=20)
    island = masks.feather(disc(80, 3, x=62), torch.tensor([4.0]))
    both = torch.maximum(mask, island)
    assert torch.equal(masks.drop_islands(both, 0.2), torch.where(island > 0.1, 0.0, both))
    assert torch.equal(masks.drop_islands(both, 0.01), both)
    assert torch.equal(masks.drop_islands(both, 0.0), both)
    largest = masks.drop_islands((blobs(5) > 0.6).float(), 1.0)
    for one in largest:
        assert ndimage.label(one.numpy())[1] == 1


@pytest.mark.parametrize("amount", ["-20%", "15%"])
def test_percent_gives_the_same_mask_at_any_resolution(amount):
    found = []
    for size in (512, 1024):
        row, column = np.mgrid[:size, :size] / size
        person = (column - 0.5) ** 2 / 0.03 + (row - 0.45) ** 2 / 0.1 < 1
        mask = torch.from_numpy(person)[None].float()
        distance = parse_length(amount, "dilate").pixels(masks.equivalent_radius(mask))
        found.append(masks.grow(mask, distance)[0][0] >= 0.5)
    small = found[0].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert (small & found[1]).sum() / (small | found[1]).sum() >= 0.99


def test_equivalent_radius_is_the_radius_of_a_disc():
    # The area of a digital disc is within its circumference of pi r^2: far less than 1 % here.
    assert masks.equivalent_radius(disc(200, 80)).item() == pytest.approx(80, rel=0.005)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-20", Length(-20)),
        (" 12 px ", Length(12)),
        ("-20%", Length(-20, True)),
        ("+1.5 %", Length(1.5, True)),
        ("", Length()),
        ("0", Length()),
    ],
)
def test_lengths_are_read(text, expected):
    assert parse_length(text, "dilate") == expected


@given(st.floats(-1e4, 1e4), st.booleans())
def test_every_length_reads_back(value, percent):
    length = parse_length(f"{value:.3f}{'%' if percent else ''}", "dilate")
    assert length.percent is percent
    assert math.isclose(length.value, value, abs_tol=6e-4)


@pytest.mark.parametrize("text", ["abc", "20 %%", "1e3", "--5", "5 cm", "%", "nan"])
def test_a_length_that_is_none_names_the_input(text):
    with pytest.raises(ValueError, match="dilate = "):
        parse_length(text, "dilate")


def test_fit_resizes_repeats_and_refuses():
    half = torch.zeros(20, 30)
    half[:, 15:] = 1
    fitted = masks.fit(half, 3, 40, 60)
    assert fitted.shape == (3, 40, 60)
    assert (fitted[:, :, :28] == 0).all()
    assert (fitted[:, :, 32:] == 1).all()
    with pytest.raises(ValueError, match="2 masks for 3 pictures"):
        masks.fit(torch.zeros(2, 4, 4), 3, 4, 4)
