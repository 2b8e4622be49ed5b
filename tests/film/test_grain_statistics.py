"""Grain against the physical model: variance, mean, correlation, resolution."""

import math

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.film.boolean import pixel_correlation, variance
from ensemble_portraits.ensemble.film.grain import (
    GrainSettings,
    film_grain,
    mix_weights,
    pixel_scale,
)
from ensemble_portraits.ensemble.film.kernel import make_kernel, spread
from ensemble_portraits.ensemble.film.stocks import STOCKS, Stock
from scipy import integrate

from .boolean_simulation import simulate

LEVELS = np.linspace(0.0, 1.0, 17)[1:-1]  # 15 greys, without black and white


def silver(radius_px: float, blur_px: float, long_edge: int) -> Stock:
    """A one-layer stock whose grain has these sizes, in px, on a picture of `long_edge`."""
    um = 36000.0 / long_edge
    return Stock(36.0, radius_px * um, blur_px * um, 0.0, (1.0, 1.0, 1.0))


def grain_of(grey: float, pixels: int, settings: GrainSettings) -> torch.Tensor:
    flat = torch.full((1, pixels, pixels, 1), grey)
    return film_grain(flat, settings, clamp=False)[0, :, :, 0] - grey


def gaussian_closed_form(grey: float, radius: float, sigma: float) -> float:
    """V(u) of the Boolean model behind a Gaussian (Newson et al. 2017), by adaptive quadrature."""

    def integrand(t: float) -> float:
        q = t / (2 * radius)
        overlap = 2 / math.pi * (math.acos(q) - q * math.sqrt(1 - q * q))
        c = (1 - grey) ** 2 * (math.exp(-math.log(1 - grey) * overlap) - 1)
        return c * math.exp(-t * t / (4 * sigma**2)) / (4 * math.pi * sigma**2) * 2 * math.pi * t

    return integrate.quad(integrand, 0, 2 * radius)[0]


@pytest.mark.parametrize(("radius", "blur"), [(0.5, 0.6)])
def test_variance_and_mean_match_the_simulation_and_the_closed_form(radius, blur):
    rng = np.random.default_rng(20261121)
    stock = silver(radius, blur, 1536)
    for grey in LEVELS:
        ours = grain_of(float(grey), 1536, GrainSettings(stock=stock, seed=3))
        simulated = np.concatenate([simulate(grey, radius, blur, 128, 10, rng) for _ in range(2)])
        # The simulated variance has a standard error of about 1.5 %.
        assert ours.var().item() == pytest.approx(simulated.var(), rel=0.05), grey
        assert abs(simulated.mean() - grey) < 5e-3
        assert abs(ours.mean().item()) < 1e-3
        # A pixel's box is taken for a Gaussian of the same variance here: hence the wider bound.
        closed = gaussian_closed_form(grey, radius, math.sqrt(blur**2 + 1 / 12))
        assert ours.var().item() == pytest.approx(closed, rel=0.12), grey


@pytest.mark.parametrize(("radius", "blur"), [(0.1, 0.8), (0.3, 0.8), (1.5, 1.0), (3.0, 2.0)])
def test_variance_equals_the_closed_form_by_another_quadrature(radius, blur):
    """Behind a blur that dwarfs the box, the two-dimensional integral becomes the radial one."""
    for grey in LEVELS:
        wide = variance(np.array([grey]), radius * 10, blur * 10)[0]
        closed = gaussian_closed_form(grey, radius * 10, math.sqrt((blur * 10) ** 2 + 1 / 12))
        assert wide == pytest.approx(closed, rel=2e-3)


def test_black_and_white_have_no_grain():
    silver_grain = GrainSettings(stock=STOCKS["Tri-X 400"])
    black, white, middle, light = (grain_of(u, 64, silver_grain) for u in (0.0, 1.0, 0.4, 0.9))
    assert not black.any() and not white.any()
    assert middle.std() > light.std() > 0


def correlation_at(field: torch.Tensor, lag: int) -> float:
    a, b = field[:, lag:], field[:, : field.shape[1] - lag]
    across = (a * b).mean()
    down = (field[lag:] * field[: field.shape[0] - lag]).mean()
    return float((across + down) / 2 / (field * field).mean())


def radius_of(field: torch.Tensor) -> float:
    """The distance at which the autocorrelation falls to exp(-1/2), read linearly between lags."""
    level, before = math.exp(-0.5), 1.0
    for lag in range(1, 100):
        here = correlation_at(field, lag)
        if here < level:
            return lag - 1 + (before - level) / (before - here)
        before = here
    raise AssertionError("the grain never decorrelates")


@pytest.mark.parametrize("size", [1.0, 1.7, 2.5, 4.0, 7.3])
def test_autocorrelation_radius_is_the_one_asked_for(size):
    """Asked: sqrt(2) * sqrt(blur^2 + 1/12), the correlation of a Gaussian blur and of the pixel's
    own box.
    """
    stock = silver(0.05, 1.0, 768)
    field = grain_of(0.5, 768, GrainSettings(stock=stock, size=size))
    assert radius_of(field) == pytest.approx(math.sqrt(2 * (size**2 + 1 / 12)), rel=0.10)


@pytest.mark.parametrize("blur", [0.0, 0.3, 0.7, 1.3, 1.99])
def test_fine_grain_has_exactly_the_apertures_correlation(blur):
    kernel = make_kernel(blur)
    weights = np.array(kernel.weights[0], dtype=np.float64)
    own = np.correlate(weights, weights, "full")[len(weights) - 1 :]
    expected = pixel_correlation(np.arange(len(own)), blur)
    # Whole-number weights of sum 255 are right to half a unit.
    assert np.allclose(own / own[0], expected / expected[0], atol=0.02)


@pytest.mark.parametrize("blur", [0.0, 0.4, 1.5, 2.0, 3.7, 9.9])
def test_the_field_has_unit_variance_at_every_offset_in_a_cell(blur):
    kernel = make_kernel(blur)
    energy = np.array([sum(w * w for w in row) for row in kernel.weights])
    assert np.allclose(energy / energy.mean(), 1.0, atol=0.01)
    assert kernel.gain * energy.mean() * math.sqrt((256**2 - 1) / 3) == pytest.approx(1.0)
    assert max(sum(abs(w) for w in row) for row in kernel.weights) <= 255


@pytest.mark.parametrize("blur", [0.4, 3.7])
def test_filter_sums_are_exact(blur):
    """float32 equals int64: no rounding anywhere, so no order of summation can show."""
    kernel = make_kernel(blur)
    noise = torch.randint(0, 256, (1, 40, 44)) * 2 - 255
    ours = spread(noise.float(), kernel)
    p, reach = kernel.pitch, kernel.reach
    weights = torch.tensor(kernel.weights)
    across = torch.einsum("kt,cywt->cywk", weights, noise.unfold(2, 2 * reach + 1, 1)).flatten(2)
    both = torch.einsum("kt,cywt->cykw", weights, across.unfold(1, 2 * reach + 1, 1))
    assert torch.equal(ours.long(), both.reshape(1, -1, both.shape[-1]))
    assert ours.shape == (1, (40 - 2 * reach) * p, (44 - 2 * reach) * p)


@pytest.mark.parametrize("grey", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("name", ["Portra 400", "Super 16, 500T"])
def test_a_large_picture_made_smaller_has_the_grain_of_a_small_one(name, grey):
    """4096 px averaged 4x4 against 1024 px: the same power in every band of the spectrum, within 10
    %.
    """
    settings = GrainSettings(stock=STOCKS[name], chroma=0.0, seed=1)
    spectra = []
    for width in (4096, 1024):
        height = width // 4  # a strip is enough, and quick
        flat = torch.full((1, height, width, 1), grey)
        field = film_grain(flat, settings, clamp=False)[:, :, :, 0] - grey
        small = torch.nn.functional.avg_pool2d(field, width // 1024)[0]
        power = torch.fft.fft2(small).abs().square()
        fy, fx = torch.fft.fftfreq(small.shape[0]), torch.fft.fftfreq(small.shape[1])
        band = (torch.hypot(fy[:, None], fx) * 16).long().clamp(max=7)
        spectra.append(torch.stack([power[band == i].mean() for i in range(8)]))
    # A band averages at least a thousand coefficients: 3 % of noise. Where a soft grain has no
    # power left (a thousandth of the peak), what remains is the rounding of the filter's weights.
    assert torch.allclose(spectra[0], spectra[1], rtol=0.10, atol=1e-3 * spectra[1].max().item())


@pytest.mark.parametrize("chroma", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_chroma_keeps_the_energy_and_sets_the_correlation(chroma):
    own, shared = mix_weights(chroma)
    rows = own * np.eye(3) + shared * np.ones((3, 3))
    assert np.allclose((rows**2).sum(1), 1.0)
    wanted = (1 - chroma) ** 2 / ((1 - chroma) ** 2 + chroma**2)
    assert (rows @ rows.T)[0, 1] == pytest.approx(wanted)
    stock = Stock(36.0, 3.0, 12.0, 1.0, (1.0, 1.0, 1.0))
    flat = torch.full((1, 300, 300, 3), 0.5)
    grain = film_grain(flat, GrainSettings(stock=stock, chroma=chroma), clamp=False)[0] - 0.5
    correlation = torch.corrcoef(grain.reshape(-1, 3).T)
    assert correlation[0, 2].item() == pytest.approx(wanted, abs=0.02)
    grey = film_grain(flat[..., :1], GrainSettings(stock=stock, chroma=0.0), clamp=False) - 0.5
    assert grain.std().item() == pytest.approx(grey.std().item(), rel=0.02)


def test_every_layer_of_dye_has_its_own_amplitude():
    stock = Stock(36.0, 8.0, 12.0, 1.0, (1.0, 0.8, 1.3))
    flat = torch.full((1, 300, 300, 3), 0.5)
    grain = film_grain(flat, GrainSettings(stock=stock), clamp=False)[0] - 0.5
    radius, blur = pixel_scale(GrainSettings(stock=stock), 300)
    wanted = [math.sqrt(variance(np.array([0.5]), radius * f, blur)[0]) for f in stock.layers]
    assert grain.std((0, 1)).tolist() == pytest.approx(wanted, rel=0.03)


def test_two_frames_and_two_seeds_are_uncorrelated():
    flat = torch.full((2, 512, 512, 1), 0.5)
    stock = STOCKS["Tri-X 400"]
    a, b = (film_grain(flat, GrainSettings(stock=stock), clamp=False) - 0.5).flatten(1)
    other = film_grain(flat[:1], GrainSettings(stock=stock, seed=1), clamp=False) - 0.5
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.01
    assert abs(torch.corrcoef(torch.stack([a, other.flatten()]))[0, 1]) < 0.01


def test_the_presets_run_from_fine_to_coarse_and_silver_has_no_colour():
    flat = torch.full((1, 128, 128, 3), 0.4)
    amplitude = {}
    for name, stock in STOCKS.items():
        grain = film_grain(flat, GrainSettings(stock=stock))[0] - 0.4
        amplitude[name] = grain.std().item()
        coloured = not torch.equal(grain[..., 0], grain[..., 2])
        assert coloured == (not name.startswith(("T-Max", "Tri-X")))
    assert amplitude["Ektar 100"] < amplitude["Portra 400"] < amplitude["Portra 800"]
    assert amplitude["T-Max 100"] < amplitude["Tri-X 400"] < amplitude["T-Max 3200"]
    assert amplitude["Portra 400, 6x7"] < amplitude["Portra 400"] < amplitude["Super 8, 500T"]
