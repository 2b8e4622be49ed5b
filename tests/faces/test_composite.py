"""Crops of faces, their masks, and how a redrawn crop comes back into the picture."""

import pytest
import scenes
import torch
from ensemble_portraits.ensemble.faces.composite import drift, put_back
from ensemble_portraits.ensemble.faces.crop import Oval, mask, resized, square
from ensemble_portraits.ensemble.regions.rect import Rect, Unit
from hypothesis import given, settings
from hypothesis import strategies as st


@given(st.integers(8, 300), st.integers(8, 300), st.floats(1, 4), st.data())
@settings(deadline=None, max_examples=80)
def test_crops_are_square_and_inside(height, width, context, data):
    left, top = data.draw(st.integers(-20, width)), data.draw(st.integers(-20, height))
    side = data.draw(st.integers(8, 400))
    face = Rect.sized(left, top, side, side, Unit.PIXELS).clipped(width=width, height=height)
    crop = square(face, width, height, context)
    assert 1 <= crop.side <= min(width, height)
    assert 0 <= crop.rect.left <= width - crop.side
    assert 0 <= crop.rect.top <= height - crop.side
    weight = mask(face, crop, Oval(), crop.side) if face.side else torch.zeros(1, 1)
    assert float(weight.min()) >= 0 and float(weight.max()) <= 1
    if face.side:  # no seam where a big face meets a border of the crop inside the picture
        for at_border, line in (
            (crop.rect.left == 0, weight[:, 0]),
            (crop.rect.left + crop.side == width, weight[:, -1]),
            (crop.rect.top == 0, weight[0]),
            (crop.rect.top + crop.side == height, weight[-1]),
        ):
            assert at_border or float(line.max()) == 0.0


def test_the_model_may_change_all_that_is_taken_from_it():
    face = Rect.pixels(40, 40, 90, 100)
    crop = square(face, 300, 300, 2.0)
    taken = mask(face, crop, Oval(), crop.side)
    changed = mask(face, crop, Oval(), crop.side, grow=Oval().feather / 2)
    assert (taken <= changed).all() and (taken == 1)[50:70, 40:80].any()


BACKGROUNDS = {
    "flat": lambda y, x: torch.full_like(x, 0.5),
    "gradient": lambda y, x: 0.2 + 0.5 * x + 0.1 * y,
}


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("tint", [0.0, 0.05, -0.08])
def test_no_seam(background, tint):
    """A redrawn face on a picture that drifted in colour: unevenly, as VAEs and samplers do."""
    side = 160
    line = torch.linspace(0, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    old = BACKGROUNDS[background](y, x)[..., None].repeat(1, 1, 3)
    face = Rect.pixels(50, 45, 110, 115)
    crop = square(face, side, side, 3.0)
    bump = 0.2 * torch.exp(-(((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.01))[..., None]
    new = old + bump + torch.tensor([tint, tint / 2, -tint]) * (1 + 0.5 * x[..., None])
    weight = mask(face, crop, Oval(), side)
    kept = (mask(face, crop, Oval(), side, grow=0.075) == 0).float()
    done = old.clone()
    put_back(done, new, weight, kept)
    expected_gradient = float((old + bump).diff(dim=1).abs().max())
    border = (weight > 0) & (weight < 1)
    steps = done.diff(dim=1).abs().amax(-1)
    assert float(steps[border[:, 1:] | border[:, :-1]].max()) <= expected_gradient + 1e-4
    shift = ((new + drift(new, old, kept) - old) * kept[..., None]).sum((0, 1)) / kept.sum()
    assert shift.abs().max() < 1e-5
    assert torch.equal(done[weight == 0], old[weight == 0])


def test_a_bright_face_keeps_its_contrast():
    """Colours are matched by a shift: a flat surrounding has no contrast to take over."""
    old = torch.full((96, 96, 3), 0.4)
    new = old.clone()
    new[32:64, 32:64] += torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(1)) * 0.4
    face = Rect.pixels(28, 28, 68, 68)
    crop = square(face, 96, 96, 3.0)
    kept = (mask(face, crop, Oval(), 96, grow=0.075) == 0).float()
    done = old.clone()
    put_back(done, new, mask(face, crop, Oval(), 96), kept)
    assert torch.allclose(done[40:56, 40:56], new[40:56, 40:56], atol=1e-4)


def test_over_the_ring_no_colour_is_left_over():
    """The drift is smoothed; what smoothing loses of its mean is put back."""
    generator = torch.Generator().manual_seed(2)
    old = torch.rand(72, 72, 3, generator=generator)
    new = old + torch.linspace(-0.3, 0.5, 72)[:, None, None] ** 3
    ring = (torch.rand(72, 72, generator=generator) > 0.7).float()
    left = ((old - new - drift(new, old, ring)) * ring[..., None]).sum((0, 1)) / ring.sum()
    assert left.abs().max() < 1e-6


def test_a_crop_full_of_face_is_not_matched():
    new, old = torch.rand(16, 16, 3), torch.rand(16, 16, 3)
    assert not drift(new, old, torch.zeros(16, 16)).any()


def test_resizing_there_and_back_keeps_the_picture():
    smooth = resized(scenes.group([120.0])[0][0], 128)
    assert (resized(resized(smooth, 512), 128) - smooth).abs().mean() < 3 / 255
