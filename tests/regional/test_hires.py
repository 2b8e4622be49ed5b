"""The hires fix: tiles without seams, crops of people and ControlNets, sizes and refusals."""

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import comfy.controlnet
import comfy.sample
import comfy.utils
import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.crops import (
    CanvasCrop,
    Painter,
    from_model,
    from_people,
)
from ensemble_portraits.ensemble.regional.hires import (
    HiresSettings,
    check_memory,
    enlarge,
    hires,
    refine,
    target_size,
)
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.rows import KEY
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings
from ensemble_portraits.ensemble.regional.tiles import cover, spans, tiled
from ensemble_portraits.ensemble.regions.rect import Rect
from hypothesis import given, settings
from hypothesis import strategies as st

SAMPLING = SamplingSettings(steps=4, denoise=0.5, cfg=1.0, scheduler="normal", seed=11)
QUICK = HiresSettings(sampling=SAMPLING)


def latent(height: int, width: int, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randn((count, 4, height, width), generator=generator)


@given(st.integers(1, 400), st.integers(2, 128), st.data())
def test_spans_cover_and_overlap(length, tile, data):
    overlap = data.draw(st.integers(0, tile // 2))
    found = spans(length, tile, overlap)
    assert found[0][0] == 0 and found[-1][1] == length
    for (start, stop), (after, _) in pairwise(found):
        assert stop - start == tile and stop - after >= overlap and after > start


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 40), st.data())
@settings(deadline=None, max_examples=60)
def test_what_tiles_agree_on_is_kept(height, width, tile, data):
    overlap = data.draw(st.integers(0, tile // 2))
    field = latent(height, width)
    assert torch.allclose(
        tiled(field, tile, overlap, lambda part: part.cut(field)), field, atol=1e-5
    )
    constant = tiled(field, tile, overlap, lambda part: torch.full_like(part.cut(field), 0.37))
    assert torch.allclose(constant, torch.full_like(field, 0.37), atol=1e-6)


def test_disagreeing_tiles_fade_into_each_other():
    field = torch.zeros(1, 1, 8, 56)
    steps = tiled(field, 32, 8, lambda part: torch.full_like(part.cut(field), float(part.left)))
    row = steps[0, 0, 4]
    assert (row[:24] == 0).all() and (row[32:] == 24).all()
    assert (row[24:32].diff() > 0).all() and row.diff().max() < 24 / 8 + 0.5


def painter_of(function):
    """A painter whose model computes `function` of the noisy latent instead of its UNet."""
    patcher = tiny.model().clone()
    patcher.set_model_unet_function_wrapper(lambda _, call: function(call["input"]))
    text = tiny.text(0).conditioning
    return from_model(patcher, text, text)


@pytest.mark.parametrize("tile", [64, 104, 200, 1024])
def test_a_local_model_does_not_show_the_tile_size(tile):
    field = latent(24, 40, count=2)
    local = painter_of(lambda x: torch.tanh(x) * 0.7)
    whole = refine(field, local, replace(QUICK, tile=0), 8)
    parts = refine(field, local, replace(QUICK, tile=tile, overlap=32), 8)
    assert torch.allclose(parts, whole, atol=1e-5)
    assert not torch.allclose(whole, field, atol=0.1)


def test_a_constant_model_gives_a_constant_picture():
    flat = painter_of(lambda x: torch.full_like(x, 0.25))
    out = refine(latent(40, 56), flat, replace(QUICK, tile=128, overlap=32), 8)
    assert out.std() < 1e-5


def test_one_tile_is_cores_ksampler():
    field = latent(16, 16)
    patcher, positive, negative = tiny.model(), tiny.text(1).conditioning, tiny.text(2).conditioning
    ours = refine(
        field,
        from_model(patcher, positive, negative),
        replace(QUICK, sampling=replace(SAMPLING, cfg=5.0)),
        8,
    )
    core = comfy.sample.sample(
        patcher, comfy.sample.prepare_noise(field, 11), 4, 5.0, "euler", "normal", positive,
        negative, field, denoise=0.5, seed=11, disable_pbar=True,
    )  # fmt: skip
    assert torch.equal(ours, core)


def halves(method: Method, strength: float):
    """One person on each half of a wide canvas; the right one's LoRA at `strength`."""
    patcher = tiny.model()
    states = [tiny.lora(patcher, 1), tiny.lora(patcher, 2)]
    masks = tiny.columns(2, 64, 128)
    return tiny.people(patcher, states, masks, method=method, strengths=[1.0, strength])


@pytest.mark.parametrize("method", list(Method))
def test_a_lora_acts_only_in_its_persons_part(method):
    """Two tiles without overlap: what the right person's LoRA does must end at the middle."""
    field = latent(16, 32)
    setting = replace(QUICK, tile=128, overlap=0)
    with_lora, without = (
        refine(field, from_people(halves(method, s)), setting, 8) for s in (1.0, 0.0)
    )
    assert torch.allclose(with_lora[..., :16], without[..., :16], atol=1e-6)
    assert not torch.allclose(with_lora[..., 16:], without[..., 16:], atol=1e-2)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(("left", "right"), [(0.25, 0.75), (0.4, 0.9), (0.05, 0.55)])
def test_people_are_painted_per_tile_like_a_regional_run_of_that_part(method, left, right):
    from ensemble_portraits.ensemble.regional.build import build

    people = halves(method, 1.0)
    painter = from_people(people)(Rect.fractions(left, 0.0, right, 1.0))
    own = build(people.with_regions(Rect.fractions(left, 0.0, right, 1.0).cut))
    field = latent(16, 16)
    a, b = (
        comfy.sample.sample(
            p.model, field, 2, 3.0, "euler", "normal", p.positive, p.negative, field, seed=1,
            disable_pbar=True,
        )
        for p in (painter, Painter(own.model, own.positive, own.negative))
    )  # fmt: skip
    assert torch.equal(a, b)


@pytest.mark.parametrize("method", list(Method))
def test_adapters_are_made_once_for_all_tiles(method):
    painters = from_people(halves(method, 1.0))
    first, second = (
        painters(Rect.fractions(left, 0.0, left + 0.5, 1.0)).model.get_additional_models_with_key(
            KEY
        )
        for left in (0.0, 0.5)
    )
    assert len(first) == 1 and first[0] is second[0]


def test_every_tile_tells_how_far_it_is():
    seen = []
    comfy.utils.set_progress_bar_global_hook(
        lambda value, total, preview, node_id=None: seen.append((value, total))
    )
    try:
        setting = replace(QUICK, tile=128, overlap=0)
        refine(latent(16, 32), from_people(halves(Method.FUSED, 1.0)), setting, 8)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert (
        seen.count((SAMPLING.steps, SAMPLING.steps)) == 2
    )  # steps between may be left out by core


def test_a_regional_model_is_taken_without_its_patch():
    from ensemble_portraits.ensemble.regional.build import build

    people = halves(Method.FUSED, 1.0)
    regional = build(people)
    field = latent(16, 16)
    ours = refine(field, from_model(*regional[:3]), QUICK, 8)
    base, negative = people.base.conditioning, people.negative.conditioning
    plain = refine(field, from_model(people.model, base, negative), QUICK, 8)
    assert torch.equal(ours, plain)


@pytest.fixture(scope="module")
def controlnet():
    path = (
        Path(os.environ["ENSEMBLE_BASE"]) / "models" / "controlnet" / "small_openpose.safetensors"
    )
    return comfy.controlnet.load_controlnet(str(path))


def test_a_controlnet_sees_its_part_of_the_hint(controlnet):
    hint = torch.rand(1, 3, 64, 96)
    first = controlnet.copy().set_cond_hint(hint * 0.5, 0.3, (0.1, 0.9))
    second = controlnet.copy().set_cond_hint(hint, 0.7, (0.0, 1.0))
    second.set_previous_controlnet(first)
    second.extra_concat_orig = [hint[:, :1]]  # the mask of an inpainting ControlNet
    cropped = CanvasCrop.tile(Rect.fractions(0.5, 0.25, 1.0, 0.75)).control(second)
    assert torch.equal(cropped.extra_concat_orig[0], hint[:, :1, 16:48, 48:])
    assert torch.equal(cropped.cond_hint_original, hint[:, :, 16:48, 48:])
    assert torch.equal(cropped.previous_controlnet.cond_hint_original, hint[:, :, 16:48, 48:] * 0.5)
    assert (cropped.strength, cropped.timestep_percent_range) == (0.7, (0.0, 1.0))
    assert cropped.previous_controlnet.strength == 0.3
    assert second.cond_hint_original is hint  # the user's own is untouched


def test_controlnets_are_lent_to_people_and_stay_shared(controlnet):
    control = controlnet.copy().set_cond_hint(torch.rand(1, 3, 64, 128))
    lent = [[torch.zeros(1), {"control": control, "control_apply_to_uncond": False}]]
    people = halves(Method.EXACT, 1.0)
    box = Rect.fractions(0.0, 0.0, 0.5, 1.0)
    painter = from_people(people, lent, None)(box)
    hints = {id(values["control"]) for _, values in painter.positive}
    assert len(painter.positive) > 1 and len(hints) == 1
    assert painter.positive[0][1]["control"].cond_hint_original.shape[-1] == 64
    assert all("control" not in values for _, values in painter.negative)


def test_masks_of_conditioning_are_cropped_and_areas_refused():
    mask = torch.rand(1, 40, 80)
    crop = CanvasCrop.tile(Rect.fractions(0.25, 0.5, 0.5, 1.0))
    ((_, values),) = crop.conditioning([[torch.zeros(1), {"mask": mask}]])
    assert torch.equal(values["mask"], mask[:, 20:, 20:40])
    with pytest.raises(ValueError, match="holds an area"):
        crop.conditioning([[torch.zeros(1), {"area": (8, 8, 0, 0)}]])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"factor": 2.0}, (400, 240)),
        ({"factor": 1.5}, (304, 184)),
        ({"width": 512}, (512, 304)),
        ({"height": 240}, (400, 240)),
        ({"width": 100, "height": 100}, (104, 104)),
        ({"factor": 0.01}, (8, 8)),
    ],
)
def test_sizes(change, expected):
    assert target_size(replace(QUICK, **change), 200, 120, 8) == expected


def test_a_size_beyond_memory_is_refused_with_what_would_fit():
    check_memory(1, 4096, 4096, 8 * 2**30)
    with pytest.raises(MemoryError, match=r"16384x16384 px, about 18\.0 GiB") as error:
        check_memory(1, 16384, 16384, 8 * 2**30)
    assert "About 9769x9769 px would fit" in str(error.value)


def test_without_an_upscale_model_lanczos_does_it():
    image = torch.rand(2, 24, 40, 3)
    large = enlarge(image, None, 80, 48)
    expected = comfy.utils.common_upscale(image.movedim(-1, 1), 80, 48, "lanczos", "disabled")
    assert torch.equal(large, expected.movedim(1, -1))
    assert enlarge(image, None, 40, 24) is image


def test_an_empty_batch_is_refused():
    with pytest.raises(ValueError, match="image holds no picture"):
        hires(torch.rand(0, 8, 8, 3), None, None, None, QUICK)


@pytest.fixture(scope="module")
def small_vae():
    import nodes

    return nodes.VAELoader().load_vae("small_vae.safetensors")[0]


@pytest.mark.parametrize("shape", [(1, 8, 12, 1), (2, 8, 12, 4), (1, 1, 1, 3), (1, 1, 300, 3)])
@pytest.mark.parametrize("brightest", [1.0, 7.0], ids=["plain", "hdr"])
def test_grey_alpha_hdr_and_tiny_pictures(small_vae, shape, brightest):
    image = torch.rand(shape) * brightest
    large = hires(
        image, small_vae, None, None, replace(QUICK, sampling=replace(SAMPLING, denoise=0.0))
    )
    sides = [max(8, 2 * side) // 8 * 8 for side in shape[1:3]]
    assert large.shape == (shape[0], *sides, 3)
    assert large.isfinite().all() and large.min() >= 0 and large.max() <= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_pixels_that_are_no_numbers_are_refused(small_vae, value):
    image = torch.rand(1, 16, 16, 3)
    image[0, 3, 4, 1] = value
    with pytest.raises(ValueError, match="image holds pixels that are no numbers"):
        hires(image, small_vae, None, None, QUICK)


def test_tiles_are_given_row_by_row():
    assert list(cover(8, 12, 8, 4)) == [Rect.pixels(0, 0, 8, 8), Rect.pixels(4, 0, 12, 8)]
