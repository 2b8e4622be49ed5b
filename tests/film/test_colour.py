"""Colour arithmetic against colour-science and closed formulas."""

import colour as reference
import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.film.colour import (
    adaptation,
    contrast,
    daylight,
    luminance,
    saturate,
    to_display,
    to_linear,
    white_point,
)
from hypothesis import given
from hypothesis import strategies as st


def random_colours(count: int = 4096, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.rand((3, count), generator=generator) * (high - low) + low


def test_transfer_functions_equal_the_standard():
    values = np.linspace(0, 1, 1001)
    ours = to_linear(torch.from_numpy(values)).numpy()
    assert np.allclose(ours, reference.models.eotf_sRGB(values), atol=1e-12)
    assert np.allclose(
        to_display(torch.from_numpy(values)).numpy(),
        reference.models.eotf_inverse_sRGB(values),
        atol=1e-12,
    )


def test_transfer_functions_are_inverse_and_odd_outside_the_range():
    values = torch.linspace(-2, 4, 601, dtype=torch.float64)
    # The standard's two pieces meet to 1e-7 only.
    assert torch.allclose(to_display(to_linear(values)), values, atol=1e-6)
    assert torch.equal(to_linear(-values), -to_linear(values))


@pytest.mark.parametrize("kelvin", [4000, 5003, 6504, 7000, 12000, 25000])
def test_daylight_equals_the_cie_locus(kelvin):
    assert np.allclose(
        daylight(kelvin), reference.temperature.CCT_to_xy_CIE_D(float(kelvin)), atol=1e-9
    )


@pytest.mark.parametrize("target", [(0.3805, 0.3769), (0.2707, 0.2807), (0.3, 0.35)])
def test_adaptation_equals_bradford(target):
    source = (0.3127, 0.3290)
    xyz = reference.adaptation.matrix_chromatic_adaptation_VonKries(
        reference.xy_to_XYZ(source), reference.xy_to_XYZ(target), transform="Bradford"
    )
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    expected = np.linalg.inv(to_xyz) @ xyz @ to_xyz
    assert np.allclose(adaptation(source, target).numpy(), expected, atol=1e-12)


def test_white_balance_sliders_point_the_right_way():
    def grey(temperature: float, tint: float) -> np.ndarray:
        matrix = adaptation(white_point(0, 0), white_point(temperature, tint))
        return (matrix @ torch.full((3,), 0.5, dtype=torch.float64)).numpy()

    assert np.allclose(grey(0, 0), 0.5, atol=1e-12)
    warm, cold, magenta, green = grey(50, 0), grey(-50, 0), grey(0, 50), grey(0, -50)
    assert warm[0] > warm[1] > warm[2] and cold[0] < cold[1] < cold[2]
    assert magenta[1] < min(magenta[0], magenta[2]) and green[1] > max(green[0], green[2])
    # Bradford keeps Y of its white, which is CIE daylight of 6504 K: sRGB's white to 1e-4.
    for shifted in (warm, cold, magenta, green):
        assert shifted @ (0.2126, 0.7152, 0.0722) == pytest.approx(0.5, abs=1e-4)


def test_tint_leaves_the_daylight_locus_at_a_right_angle():
    uv = [reference.xy_to_UCS_uv(white_point(t, g)) for t, g in ((0, 0), (1, 0), (0, 100))]
    along, across = uv[1] - uv[0], uv[2] - uv[0]
    assert abs(along @ across) / np.linalg.norm(along) / np.linalg.norm(across) < 0.01
    assert np.linalg.norm(across) == pytest.approx(0.03, rel=1e-6)


@given(st.floats(0, 3))
def test_saturation_keeps_luminance(amount):
    light = random_colours(200)
    assert torch.allclose(luminance(saturate(light, amount, 0.0)), luminance(light), atol=1e-5)


def test_saturation_zero_is_grey_and_one_is_the_identity():
    light = random_colours()
    grey = saturate(light, 0.0, 0.0)
    assert torch.allclose(grey, luminance(light).expand(3, -1), atol=1e-6)
    assert torch.allclose(saturate(light, 1.0, 0.0), light, atol=1e-6)


def test_vibrance_helps_pale_colours_more_and_skin_less():
    def gain(rgb: tuple[float, float, float]) -> float:
        colour = torch.tensor(rgb).unsqueeze(1)
        more = saturate(colour, 1.0, 1.0)
        return float((more.amax() - more.amin()) / (colour.amax() - colour.amin()))

    pale_blue, strong_blue, skin = (
        gain((0.4, 0.45, 0.6)),
        gain((0.02, 0.1, 0.6)),
        gain((0.6, 0.5, 0.4)),
    )
    assert pale_blue > strong_blue > 1.0
    assert pale_blue > skin > 1.0
    assert gain((0.5, 0.4, 0.6)) > 1.0


@given(st.floats(0.2, 4), st.floats(0.1, 0.9))
def test_contrast_keeps_black_pivot_and_white_and_order(amount, pivot):
    ramp = torch.linspace(0, 1, 2001, dtype=torch.float64)
    out = contrast(ramp, amount, pivot)
    assert out[0] == 0 and out[-1] == 1
    assert (out.diff() >= 0).all()
    at = contrast(
        torch.tensor([pivot - 1e-6, pivot, pivot + 1e-6], dtype=torch.float64), amount, pivot
    )
    assert at[1].item() == pytest.approx(pivot)
    assert (at[2] - at[0]).item() / 2e-6 == pytest.approx(amount, rel=1e-3)


def test_contrast_leaves_values_outside_the_range():
    assert contrast(torch.tensor([-0.5, 1.5]), 2.0, 0.4).tolist() == [-0.5, 1.5]
