"""What must hold for the regional methods (float32, whole KSampler runs, relative error of the
latent). 1e-4 is float32's rounding over a few steps of a network that doubles small differences."""

import dataclasses

import comfy.samplers
import pytest
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-4
METHODS = [Method.FUSED, Method.EXACT]


@pytest.fixture(scope="module")
def states(model):
    return [tiny.lora(model, 1 + i, layers=tiny.EVERYTHING) for i in range(3)]


def run(people, **sampling):
    return tiny.sample(*build(people)[:3], **sampling)


def merged(model, state, strength=1.0):
    clone = model.clone()
    clone.add_patches(tiny.parsed(model, state), strength)
    return clone


@pytest.mark.parametrize("method", METHODS)
def test_one_person_everywhere_is_a_merged_lora(model, states, method):
    people = tiny.people(
        model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method, strengths=[0.8]
    )
    person = people.people[0]
    reference = tiny.sample(
        merged(model, states[0], 0.8), person.positive.conditioning, person.negative.conditioning
    )
    assert tiny.relative(run(people), reference) < TOLERANCE


@pytest.mark.parametrize("count", [1, 2, 3])
def test_exact_is_core_hooks(model, states, count):
    strengths = [1.0, 0.6, -0.5][:count]
    people = tiny.people(
        model, states[:count], tiny.columns(count, feather=6), method=Method.EXACT,
        strengths=strengths,
    )  # fmt: skip
    reference = tiny.sample(*tiny.core_hooks(people, states[:count], strengths))
    assert tiny.relative(run(people), reference) < TOLERANCE
    without = tiny.people(model, states[:count], people.masks, strengths=[0.0] * count)
    assert tiny.relative(run(without), reference) > 0.05  # the LoRAs do matter


@pytest.mark.parametrize("method", METHODS)
def test_strength_zero_is_no_lora(model, states, method):
    masks = tiny.columns(2)
    zero = tiny.people(model, states[:2], masks, strengths=[0.0, 0.0], method=method)
    none = tiny.people(model, [{}, {}], masks, method=method)
    assert torch.equal(run(zero), run(none))


@pytest.mark.parametrize("method", METHODS)
def test_empty_masks_are_the_base_alone(model, states, method):
    people = tiny.people(model, states[:2], torch.zeros(2, 64, 96), method=method)
    base = tiny.sample(model.clone(), people.base.conditioning, people.negative.conditioning)
    assert tiny.relative(run(people), base) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "uni_pc"])
def test_a_batch_is_its_pictures(model, states, method, sampler):
    people = tiny.people(model, states[:2], tiny.columns(2), method=method)
    latent = torch.zeros(3, 4, 8, 12)
    noise = torch.randn(3, 4, 8, 12, generator=torch.Generator().manual_seed(5))
    batch = run(people, latent=latent, noise=noise, sampler=sampler)
    for i in range(3):
        single = run(people, latent=latent[i : i + 1], noise=noise[i : i + 1], sampler=sampler)
        assert tiny.relative(batch[i : i + 1], single) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_after_a_run_the_model_is_as_before(model, states, method):
    people = tiny.people(model, states[:2], tiny.columns(2), method=method)
    plain = (people.base.conditioning, people.negative.conditioning)
    before = tiny.sample(model.clone(), *plain)
    run(people)
    assert torch.equal(tiny.sample(model.clone(), *plain), before)
    assert not [m for m in model.model.modules() if "forward" in m.__dict__]


def test_equal_people_in_any_partition_are_one(model, states):
    """N people with one LoRA and text, masks that sum to 1, no base: the single-person run."""
    soft = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(1))
    people = tiny.people(model, [states[0]] * 3, soft / soft.sum(0), base_strength=0.0)
    same = tuple(
        dataclasses.replace(
            p, positive=people.people[0].positive, negative=people.people[0].negative
        )
        for p in people.people
    )
    people = dataclasses.replace(people, people=same)
    reference = tiny.sample(
        merged(model, states[0]), same[0].positive.conditioning, same[0].negative.conditioning
    )
    assert tiny.relative(run(people), reference) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_people_does_not_matter(model, states, method):
    people = tiny.people(model, states, tiny.columns(3, feather=4), method=method)
    turned = dataclasses.replace(people, people=people.people[1:] + people.people[:1])
    assert tiny.relative(run(turned), run(people)) < TOLERANCE


def test_one_model_call_per_step(model, states):
    calls = []
    handle = model.model.diffusion_model.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(args[0].shape[0]), with_kwargs=True
    )
    try:
        for method, rows in ((Method.FUSED, 2), (Method.EXACT, 8)):
            calls.clear()
            run(tiny.people(model, states, tiny.columns(3), method=method), steps=3)
            assert calls == [rows] * 3
        calls.clear()
        people = tiny.people(model, states, tiny.columns(3), method=Method.EXACT)
        tiny.sample(*tiny.core_hooks(people, states), steps=3)
        assert calls == [2, 2, 2, 2] * 3  # core: the base and each person, on both sides of CFG
    finally:
        handle.remove()


@pytest.mark.parametrize("tokens", [(77, 154, 77), (154, 77, 231), (77, 385, 77)])
def test_texts_of_unequal_length(model, states, tokens):
    """77 against 385 is beyond what core batches; ours still takes one call and the same numbers."""
    masks = tiny.columns(2)
    exact = tiny.people(model, states[:2], masks, method=Method.EXACT, tokens=tokens)
    reference = tiny.sample(*tiny.core_hooks(exact, states[:2]))
    assert tiny.relative(run(exact), reference) < TOLERANCE
    fused = tiny.people(
        model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, tokens=tokens[:2]
    )
    person = fused.people[0]
    single = tiny.sample(
        merged(model, states[0]), person.positive.conditioning, person.negative.conditioning
    )
    assert tiny.relative(run(fused), single) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sampling", [
    {"cfg": 1.0}, {"sampler": "heun"}, {"size": (9, 13)}, {"size": (7, 5)}, {"batch": 2},
    {"sampler": "dpm_2", "denoise": 0.6},
])  # fmt: skip
def test_every_way_of_sampling(model, states, method, sampling):
    """One person everywhere against the merged LoRA: CFG 1, two model calls per step, odd sizes."""
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    reference = tiny.sample(
        merged(model, states[0]), person.positive.conditioning, person.negative.conditioning,
        **sampling,
    )  # fmt: skip
    assert tiny.relative(run(people, **sampling), reference) < TOLERANCE


def test_cond_and_uncond_apart_give_the_same(model, states, monkeypatch):
    """As with little memory: core then runs rows one by one."""
    people = {m: tiny.people(model, states[:2], tiny.columns(2), method=m) for m in METHODS}
    together = {m: run(p) for m, p in people.items()}
    calls = []

    def count(executor, *args, **kwargs):
        calls.append(args[0].shape[0])
        return executor(*args, **kwargs)

    for method, scene in people.items():
        patcher, positive, negative = build(scene)[:3]
        patcher.add_wrapper(WrappersMP.DIFFUSION_MODEL, count)
        monkeypatch.setattr(type(patcher), "get_free_memory", lambda self, device: 1)
        apart = tiny.sample(patcher, positive, negative)
        monkeypatch.undo()
        assert set(calls) == {1}
        assert tiny.relative(apart, together[method]) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("start", "end"), [(0.4, 1.0), (0.0, 0.5), (0.3, 0.7)])
def test_people_act_only_in_their_span(model, states, method, start, end):
    """The run equals one that switches by hand between the regional and the plain model."""
    from ensemble_portraits.ensemble.regional.rows import Span

    whole = tiny.people(model, states[:2], tiny.columns(2), method=method)
    spanned = dataclasses.replace(whole, span=Span(start, end))
    plain = model.clone()
    sigmas = comfy.samplers.calculate_sigmas(model.model.model_sampling, "normal", 6)
    inside = [Span(start, end).holds(model.model, float(s)) for s in sigmas[:-1]]
    assert any(inside) and not all(inside)
    x = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(2)) * sigmas[0]
    regional = build(whole)[:3]
    alone = (plain, whole.base.conditioning, whole.negative.conditioning)
    for i, use in enumerate(inside):
        x = _euler_step(*(regional if use else alone), x, sigmas[i], sigmas[i + 1])
    noise = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(2))
    out = _sample_sigmas(*build(spanned)[:3], noise, sigmas)
    assert tiny.relative(out, model.model.process_latent_out(x)) < TOLERANCE


def _sample_sigmas(patcher, positive, negative, noise, sigmas):
    guider = comfy.samplers.CFGGuider(patcher)
    guider.set_conds(positive, negative)
    guider.set_cfg(7.0)
    return guider.sample(
        noise, torch.zeros_like(noise), comfy.samplers.sampler_object("euler"), sigmas,
        disable_pbar=True, seed=1,
    )  # fmt: skip


def _euler_step(patcher, positive, negative, x, sigma, following):
    """One Euler step of x (noisy, in the model's latent scale) by a one-step KSampler run."""
    noise = x / sigma  # with an empty latent the sampler starts at noise * sigma
    out = _sample_sigmas(patcher, positive, negative, noise, torch.stack([sigma, following]))
    return patcher.model.process_latent_in(out)


def test_pooled_vectors_of_sdxl():
    """One person everywhere: their own pooled vector, on a model that reads it."""
    model = tiny.model(tiny.SDXL)
    state = tiny.lora(model, 1, layers=tiny.EVERYTHING)
    for method in METHODS:
        people = tiny.people(
            model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method, pooled=64
        )
        person = people.people[0]
        reference = tiny.sample(
            merged(model, state), person.positive.conditioning, person.negative.conditioning
        )
        assert tiny.relative(run(people), reference) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_before_the_span_the_pooled_vector_is_the_scenes(method):
    from ensemble_portraits.ensemble.regional.rows import Span

    model = tiny.model(tiny.SDXL)
    people = tiny.people(
        model, [tiny.lora(model, 1)], torch.ones(1, 64, 96), method=method, pooled=64,
        span=Span(0.9999, 1.0),
    )  # fmt: skip
    alone = tiny.sample(
        model.clone(), people.base.conditioning, people.negative.conditioning, steps=1
    )
    assert tiny.relative(run(people, steps=1), alone) < TOLERANCE


def test_exact_is_core_hooks_on_sdxl():
    model = tiny.model(tiny.SDXL)
    states = [tiny.lora(model, 1 + i) for i in range(2)]
    people = tiny.people(model, states, tiny.columns(2), method=Method.EXACT, pooled=64)
    assert tiny.relative(run(people), tiny.sample(*tiny.core_hooks(people, states))) < TOLERANCE
