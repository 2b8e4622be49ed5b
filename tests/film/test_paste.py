"""Pasting back: untouched pixels, feather, colours, sizes."""

import pytest
import torch
from ensemble_portraits.ensemble.film.paste import feathered, paste_back
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage


def picture(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def disc(size: int = 64, radius: float = 15.0) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return ((y - 30.0).hypot(x - 33.0) < radius).float().unsqueeze(0)


@given(st.integers(0, 20), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_pixels_outside_the_feather_are_the_originals(feather, match):
    image, original, mask = picture(1, 64, 64, 3), picture(1, 64, 64, 3, seed=6), disc()
    out = paste_back(image, original, mask, feather=feather, match_colour=match)
    # Chessboard distance: the feather's kernel is a square.
    distance = ndimage.distance_transform_cdt(mask[0].numpy() == 0, "chessboard")
    outside = torch.from_numpy(distance > feather)
    assert torch.equal(out[0][outside], original[0][outside])
    assert not torch.equal(out, original)


def test_deep_inside_the_image_is_kept_and_the_edge_blends():
    image, original = torch.ones(1, 64, 64, 3), torch.zeros(1, 64, 64, 3)
    out = paste_back(image, original, disc(radius=20), feather=6, match_colour=0.0)
    assert out[0, 30, 33].tolist() == [1, 1, 1]
    row = out[0, 30, 33:, 0]
    assert (row.diff() <= 1e-6).all() and ((row > 0.05) & (row < 0.95)).sum() >= 5
    assert row[20].item() == pytest.approx(0.5, abs=0.12)


def test_a_region_cut_by_the_border_is_not_faded_there():
    mask = torch.zeros(1, 32, 32)
    mask[:, :, :16] = 1
    soft = feathered(mask, 5)
    assert torch.equal(soft[:, 0], soft[:, 16]) and soft[0, 0, 0] == 1


def test_colour_drift_is_undone():
    original = picture(1, 64, 64, 3)
    drift = torch.tensor([0.9, 1.0, 1.1]), torch.tensor([0.03, -0.02, 0.0])
    image = original * 0.7 * drift[0] + drift[1] + 0.1
    out = paste_back(image, original, disc(), feather=4, match_colour=1.0)
    assert torch.allclose(out, original, atol=1e-4)
    assert not torch.allclose(
        paste_back(image, original, disc(), feather=4, match_colour=0.0), original, atol=1e-2
    )


def test_nothing_kept_means_nothing_to_match():
    image, original = picture(1, 16, 16, 3), picture(1, 16, 16, 3, seed=6)
    out = paste_back(image, original, torch.ones(1, 16, 16), feather=0, match_colour=1.0)
    assert torch.equal(out, image)


def test_black_mask_gives_the_original():
    image, original = picture(1, 16, 16, 3), picture(1, 16, 16, 3, seed=6) * 3
    assert torch.equal(
        paste_back(image, original, torch.zeros(1, 16, 16), feather=8, match_colour=1.0), original
    )


def test_a_larger_image_comes_back_at_the_originals_size():
    original = picture(1, 40, 64, 3)
    image = torch.full((1, 160, 256, 3), 0.25)
    mask = torch.zeros(1, 80, 128)
    mask[:, 20:60, 20:100] = 1
    out = paste_back(image, original, mask, feather=0, match_colour=0.0)
    assert out.shape == original.shape
    assert torch.allclose(out[0, 20, 30], torch.full((3,), 0.25), atol=1e-5)
    assert torch.equal(out[0, 0], original[0, 0])


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="image is 64x32 and original is 32x32"):
        paste_back(
            picture(1, 32, 64, 3),
            picture(1, 32, 32, 3),
            torch.ones(1, 32, 32),
            feather=0,
            match_colour=0.0,
        )


def test_batches_broadcast_and_misfits_are_named():
    image, original = picture(3, 16, 16, 3), picture(1, 16, 16, 3, seed=6)
    mask = torch.zeros(1, 16, 16)
    mask[:, 4:9, 4:9] = 1
    out = paste_back(image, original, mask, feather=1, match_colour=0.0)
    for i in range(3):
        assert torch.equal(
            out[i : i + 1],
            paste_back(image[i : i + 1], original, mask, feather=1, match_colour=0.0),
        )
    with pytest.raises(ValueError, match="mask holds 2"):
        paste_back(image, original, mask.expand(2, -1, -1), feather=1, match_colour=0.0)


def test_alpha_and_dtype_of_the_original_are_kept():
    image, original = picture(1, 16, 16, 3), picture(1, 16, 16, 4, seed=6)
    out = paste_back(image, original, torch.ones(1, 16, 16), feather=0, match_colour=0.0)
    assert torch.equal(out[..., 3], original[..., 3]) and torch.equal(out[..., :3], image)
    assert (
        paste_back(image, original.half(), torch.ones(1, 16, 16), feather=2, match_colour=0.5).dtype
        == torch.float16
    )


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 1, 1, 3)])
def test_odd_shapes(shape):
    out = paste_back(
        picture(*shape), picture(*shape), torch.ones(shape[:3]), feather=3, match_colour=1.0
    )
    assert out.shape == shape
