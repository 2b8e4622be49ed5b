"""Grain as a function: the same bits from any split, any device, and bad input."""

import numpy as np
import pytest
import torch
from ensemble_portraits.ensemble.film import grain as grain_module
from ensemble_portraits.ensemble.film.grain import GrainSettings, film_grain
from ensemble_portraits.ensemble.film.hashing import mix32_, mix64, noise_bytes
from ensemble_portraits.ensemble.film.stocks import STOCKS
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")
COARSE = GrainSettings(
    stock=STOCKS["Super 8, 500T"], strength=1.3, size=9.0, seed=0xFFFFFFFFFFFFFFFF
)
FINE = GrainSettings(stock=STOCKS["Portra 400"])


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


def reference_hash(x: np.ndarray) -> np.ndarray:
    """lowbias32 in numpy's unsigned arithmetic, which wraps by definition."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


@pytest.mark.parametrize("count", [1, 7, 16, 1001, 70003])
def test_hash_equals_unsigned_arithmetic(count):
    words = np.random.default_rng(count).integers(0, 2**32, count, dtype=np.uint32)
    ours = mix32_(torch.from_numpy(words.view(np.int32).copy()))
    assert np.array_equal(ours.numpy().view(np.uint32), reference_hash(words))


def test_known_hash_values():
    """SplitMix64's published stream from seed 0, and the noise itself: a change here changes saved
    pictures.
    """
    assert mix64(0) == 0xE220A8397B1DCDAF
    assert mix64(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4
    noise = noise_bytes(1, 2, 2, range(-1, 1), range(-1, 5), CPU)
    assert noise.tolist() == KNOWN_NOISE


KNOWN_NOISE = [
    [[70, -66, -99, 81, 46, 43], [25, -14, -55, 35, 13, 116]],
    [[-123, -49, 102, 57, -63, -30], [72, 60, 79, 42, -87, 36]],
]


@given(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_noise_depends_on_the_place_alone(top, left, height, width):
    whole = noise_bytes(9, 0, 3, range(-50, 80), range(-50, 80), CPU)
    part = noise_bytes(9, 0, 3, range(top, top + height), range(left, left + width), CPU)
    assert torch.equal(part, whole[:, top + 50 : top + 50 + height, left + 50 : left + 50 + width])


def test_noise_is_uniform_and_white():
    noise = noise_bytes(0, 0, 1, range(1024), range(1024), CPU)[0].double()
    counts = torch.bincount(noise.flatten().long() + 128, minlength=256)
    assert counts.min() > 3700 and counts.max() < 4500  # 4096 expected, standard deviation 64
    spectrum = torch.fft.fft2(noise - noise.mean()).abs().square()
    spectrum /= spectrum.mean()
    assert spectrum.max() < 30  # exponential distribution: P(max > 30) is 1e-7
    for rows in spectrum.mean(1), spectrum.mean(0):
        assert (rows[1:] - 1).abs().max() < 0.2


@pytest.mark.parametrize("settings_", [FINE, COARSE], ids=["fine", "coarse"])
def test_whole_picture_equals_tiles_chunks_and_single_frames(settings_, monkeypatch):
    image = picture(3, 93, 131, 3)
    whole = film_grain(image, settings_, frame_offset=4)
    singles = [film_grain(image[i : i + 1], settings_, frame_offset=4 + i) for i in range(3)]
    assert torch.equal(whole, torch.cat(singles))
    tiles = torch.empty_like(whole)
    for y in range(0, 93, 31):
        for x in range(0, 131, 37):
            part = image[:, y : y + 31, x : x + 37]
            tiles[:, y : y + 31, x : x + 37] = film_grain(
                part, settings_, frame_offset=4, origin=(y, x), frame_size=(93, 131)
            )
    assert torch.equal(whole, tiles)
    monkeypatch.setattr(grain_module, "_CHUNK_CPU", 131 * 3 * 5)
    assert torch.equal(whole, film_grain(image, settings_, frame_offset=4))


def test_threads_do_not_show():
    image = picture(1, 200, 300, 3)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append(film_grain(image, COARSE))
    torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_graphics_card_gives_the_same_noise_and_picture():
    cuda = torch.device("cuda")
    where = range(-7, 500), range(-9, 333)
    assert torch.equal(noise_bytes(3, 1, 3, *where, cuda).cpu(), noise_bytes(3, 1, 3, *where, CPU))
    image = picture(2, 300, 400, 3)
    for chosen in (FINE, COARSE):
        assert torch.allclose(
            film_grain(image, chosen, device=cuda), film_grain(image, chosen), atol=1e-6
        )


def test_strength_zero_is_the_identity():
    image = picture(2, 9, 9, 4) * 3 - 1
    assert film_grain(image, GrainSettings(strength=0.0)) is image


def test_strength_is_the_amplitude():
    image = torch.full((1, 64, 64, 3), 0.5)
    one, two = (film_grain(image, GrainSettings(strength=s), clamp=False) - 0.5 for s in (1, 2))
    assert torch.allclose(two, 2 * one, atol=1e-6)


def test_input_is_left_alone_and_result_stays_in_range():
    image = picture(1, 64, 64, 3)
    kept = image.clone()
    out = film_grain(image, GrainSettings(stock=STOCKS["T-Max 3200"], strength=4.0, size=5.0))
    assert torch.equal(image, kept)
    assert out.min() >= 0 and out.max() <= 1
    assert not torch.equal(out, image)


def test_alpha_is_copied():
    image = picture(2, 20, 30, 4)
    out = film_grain(image, FINE)
    assert torch.equal(out[..., 3], image[..., 3])
    assert torch.equal(out[..., :3], film_grain(image[..., :3].contiguous(), FINE))


def test_grey_pictures_get_silver_grain():
    image = torch.full((1, 64, 64, 1), 0.5)
    grey = film_grain(image, GrainSettings(stock=STOCKS["Tri-X 400"]))
    colour = film_grain(image.expand(-1, -1, -1, 3), GrainSettings(stock=STOCKS["Tri-X 400"]))
    assert grey.shape == image.shape
    assert torch.allclose(grey.expand(-1, -1, -1, 3), colour, atol=1e-6)
    with_alpha = film_grain(torch.cat([image, image], -1), GrainSettings(stock=STOCKS["Tri-X 400"]))
    assert torch.equal(with_alpha[..., 1:], image) and torch.equal(with_alpha[..., :1], grey)


def test_values_outside_the_range_keep_their_value():
    image = picture(1, 40, 40, 3)
    image[0, 10, 10] = torch.tensor([1.5, 70000.0, -0.25])
    out = film_grain(image, FINE)
    assert torch.equal(out[0, 10, 10], image[0, 10, 10])
    image[0, 10, 10] = 0.0
    same = film_grain(image, FINE)
    out[0, 10, 10] = 0.0
    assert torch.equal(out, same)


def test_nan_stays_where_it_was():
    image = picture(1, 40, 40, 3)
    clean = film_grain(image, COARSE)
    image[0, 3, 4, 1], image[0, 7, 7, 0] = float("nan"), float("inf")
    out = film_grain(image, COARSE)
    assert out[0, 3, 4, 1].isnan() and out[0, 7, 7, 0] == float("inf")
    out[0, 3, 4, 1], out[0, 7, 7, 0] = clean[0, 3, 4, 1], clean[0, 7, 7, 0]
    assert torch.equal(out, clean)


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (1, 1, 1, 3), (1, 1, 300, 3), (2, 300, 1, 4)])
@pytest.mark.parametrize("chosen", [FINE, COARSE], ids=["fine", "coarse"])
def test_odd_shapes(shape, chosen):
    out = film_grain(picture(*shape), chosen)
    assert out.shape == shape and out.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype):
    image = picture(1, 32, 32, 3)
    out = film_grain(image.to(dtype), FINE)
    assert out.dtype == dtype
    assert torch.allclose(out.float(), film_grain(image, FINE), atol=1e-2)


def test_no_eight_bit_rounding():
    assert film_grain(torch.full((1, 64, 64, 3), 0.5), FINE).unique().numel() > 3000


def test_global_random_state_is_untouched():
    state = torch.get_rng_state()
    film_grain(picture(1, 8, 8, 3), FINE)
    # picture() has a generator of its own, so only film_grain could have drawn.
    assert torch.equal(state, torch.get_rng_state())


def test_memory_does_not_grow_with_the_number_of_frames():
    """Apart from the result: the largest tensor alive while working is the same for 2 and for 12
    frames.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        def __init__(self, skip: int):
            super().__init__()
            self.skip, self.size = skip, 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.untyped_storage().nbytes() != self.skip:
                self.size = max(self.size, result.untyped_storage().nbytes())
            return result

    sizes = []
    for frames in (2, 12):
        image = picture(frames, 128, 128, 3)
        with Largest(image.untyped_storage().nbytes()) as largest:
            film_grain(image, FINE)
        sizes.append(largest.size)
    assert sizes[0] == sizes[1] > 0


@pytest.mark.parametrize(
    "shape", [(1, 9, 400, 1), (2, 9, 9, 2), (1, 400, 9, 4), (0, 9, 9, 3), (1, 1, 1, 1)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_node_shows_any_picture_it_takes(shape, dtype):
    from ensemble_portraits.nodes.film import FilmGrain

    image = torch.full(shape, 0.5, dtype=dtype)
    done = FilmGrain.execute(
        image=image, stock="Portra 400", strength=1.0, size=1.0, chroma=1.0, seed=0, frame_offset=0
    )
    assert done[0].shape == image.shape and done[0].dtype == dtype
    assert (done.ui is None) == (shape[0] == 0)


def test_the_node_shows_the_middle_at_its_own_size():
    from ensemble_portraits.nodes.film import SHOWN, _middle

    image = torch.zeros(2, 3 * SHOWN, 2 * SHOWN, 4)
    image[0, 2 * SHOWN - 1, SHOWN // 2, 0] = 1  # lower left corner of the middle
    image[0, 0, 0, 1] = float("nan")
    shown = _middle(image)
    assert shown.shape == (1, SHOWN, SHOWN, 3)
    assert shown[0, -1, 0, 0] == 1 and shown.sum() == 1
