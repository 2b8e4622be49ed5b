"""The whole grade: identity, order, looks, bad input."""

import pytest
import torch
from ensemble_portraits.ensemble.film import grade as grade_module
from ensemble_portraits.ensemble.film.colour import to_display, to_linear
from ensemble_portraits.ensemble.film.cube import Cube
from ensemble_portraits.ensemble.film.grade import Grade, colour_grade
from ensemble_portraits.ensemble.film.looks import LOOKS, curve_table

EVERYTHING = Grade(
    exposure=0.3,
    contrast=1.2,
    temperature=20,
    tint=-10,
    saturation=1.1,
    vibrance=0.3,
    lift=(0.02, 0.0, 0.01),
    gamma=(1.1, 1.0, 0.9),
    gain=(1.0, 0.95, 1.05),
    look=LOOKS["Ektar"],
    cube=Cube(torch.rand((5, 5, 5, 3), generator=torch.Generator().manual_seed(1))),
)


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


def test_a_neutral_grade_returns_the_picture_itself():
    image = picture(2, 5, 5, 4)
    assert colour_grade(image, Grade()) is image
    assert colour_grade(image, Grade(look=LOOKS["Ektar"], look_strength=0.0)) is image
    assert colour_grade(image, Grade(cube=Cube(torch.zeros(2, 3)), cube_strength=0.0)) is image


def test_exposure_is_in_stops_of_light():
    image = picture(1, 16, 16, 3) * 0.5
    out = colour_grade(image, Grade(exposure=1.0))
    assert torch.allclose(to_linear(out), to_linear(image) * 2, atol=1e-5)
    back = colour_grade(out, Grade(exposure=-1.0))
    assert torch.allclose(back, image, atol=1e-5)


def test_lift_gamma_and_gain_hold_their_ends():
    ramp = torch.linspace(0, 1, 11).view(1, 1, 11, 1).expand(1, 1, 11, 3)
    lifted = colour_grade(ramp, Grade(lift=(0.2, 0.0, 0.0)))[0, 0]
    assert lifted[0].tolist() == pytest.approx([0.2, 0, 0]) and lifted[-1].tolist() == [1, 1, 1]
    gained = colour_grade(ramp, Grade(gain=(0.5, 1.0, 1.0)))[0, 0]
    assert gained[0].tolist() == [0, 0, 0] and gained[-1].tolist() == pytest.approx([0.5, 1, 1])
    bent = colour_grade(ramp, Grade(gamma=(2.0, 1.0, 1.0)))[0, 0]
    assert torch.allclose(bent[:, 0], ramp[0, 0, :, 0].sqrt(), atol=1e-6)
    assert torch.equal(bent[:, 1], ramp[0, 0, :, 1])


@pytest.mark.parametrize("name", LOOKS)
def test_looks_are_smooth_monotone_and_keep_grey_greyish(name):
    look = LOOKS[name]
    assert all(sum(row) == pytest.approx(1.0) for row in look.matrix)
    assert (curve_table(look).table.diff(dim=0) >= 0).all()
    ramp = torch.linspace(0, 1, 4001).view(1, 1, -1, 1).expand(1, 1, -1, 3)
    out = colour_grade(ramp, Grade(look=look))[0, 0]
    assert (out.diff(dim=0) >= 0).all()
    assert out.diff(dim=0).max() < 8 / 4000  # no jump
    assert (out.amax(1) - out.amin(1)).max() < 0.05


@pytest.mark.parametrize("name", LOOKS)
def test_looks_are_continuous_in_hue(name):
    hue = torch.linspace(0, 6, 6001)
    wheel = torch.stack([(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()], -1)
    wheel = wheel.clamp(0, 1) * 0.6 + 0.2
    out = colour_grade(wheel.view(1, 1, -1, 3), Grade(look=LOOKS[name]))[0, 0]
    assert out.diff(dim=0).abs().max() < 0.003


def test_looks_do_what_their_names_say():
    """Saturation of a muted palette, and contrast of a ramp, by film."""
    palette = torch.tensor([[0.6, 0.4, 0.35], [0.4, 0.55, 0.35], [0.35, 0.42, 0.6]]).view(
        1, 1, 3, 3
    )
    tones = torch.tensor([0.25, 0.75]).view(1, 1, 2, 1).expand(1, 1, 2, 3)
    colourful, contrasty = {}, {}
    for name, look in LOOKS.items():
        out = colour_grade(palette, Grade(look=look))
        colourful[name] = (out.amax(-1) - out.amin(-1)).mean().item()
        grey = colour_grade(tones, Grade(look=look)).mean(-1)[0, 0]
        contrasty[name] = (grey[1] - grey[0]).item()
    assert colourful["Film Velvia"] > colourful["Ektar"] > colourful["Film Portra"]
    assert contrasty["Film Velvia"] > 0.55  # the ramp itself has 0.5
    assert contrasty["Film Velvia"] > contrasty["Ektar"]


def test_strengths_mix():
    image = picture(1, 8, 8, 3) * 0.3 + 0.35  # muted, so that nothing is clamped
    half = colour_grade(image, Grade(look=LOOKS["Ektar"], look_strength=0.5))
    full = colour_grade(image, Grade(look=LOOKS["Ektar"]))
    assert torch.allclose(half, (image + full) / 2, atol=1e-5)


def test_batch_chunks_and_single_pictures_agree(monkeypatch):
    image = picture(3, 20, 30, 3)
    whole = colour_grade(image, EVERYTHING)
    monkeypatch.setattr(grade_module, "_CHUNK_CPU", 37)
    singles = [colour_grade(image[i : i + 1], EVERYTHING) for i in range(3)]
    assert torch.allclose(whole, torch.cat(singles), atol=1e-6)


def test_alpha_grey_and_dtype():
    image = picture(1, 6, 6, 4)
    out = colour_grade(image, EVERYTHING)
    assert torch.equal(out[..., 3], image[..., 3])
    assert torch.equal(out[..., :3], colour_grade(image[..., :3].contiguous(), EVERYTHING))
    grey = colour_grade(image[..., :1], EVERYTHING)
    assert torch.equal(grey, colour_grade(image[..., :1].expand(-1, -1, -1, 3), EVERYTHING))
    with_alpha = colour_grade(image[..., 2:], EVERYTHING)
    assert with_alpha.shape[-1] == 4 and torch.equal(with_alpha[..., 3], image[..., 3])
    assert colour_grade(image.half(), EVERYTHING).dtype == torch.float16


def test_ordinary_pictures_stay_in_range_and_hdr_is_not_clamped():
    bright = Grade(exposure=2.0)
    assert colour_grade(picture(1, 8, 8, 3), bright).max() == 1.0
    hdr = picture(1, 8, 8, 3) * 4
    out = colour_grade(hdr, bright)
    assert torch.allclose(out, to_display(to_linear(hdr) * 4), atol=1e-4)


def test_nan_stays_in_its_pixel():
    image = picture(1, 8, 8, 3)
    clean = colour_grade(image, EVERYTHING)
    image[0, 2, 3, 1] = float("nan")
    out = colour_grade(image, EVERYTHING)
    kept = torch.ones(8, 8, dtype=torch.bool)
    kept[2, 3] = False
    assert torch.allclose(out[0][kept], clean[0][kept], atol=1e-6)
    assert out[0, 2, 3, 1].isnan()


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 1, 1, 3), (2, 1, 7, 1)])
def test_odd_shapes(shape):
    out = colour_grade(picture(*shape), EVERYTHING)
    assert out.shape[:3] == shape[:3] and out.isfinite().all()
