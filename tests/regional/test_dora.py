"""DoRA rescales the weight as it is by then: with the LoRAs for everybody and the person's earlier
ones in it. Against core's own merging, and against its hooks."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-4
METHODS = list(Method)


@pytest.fixture(scope="module")
def model():
    return tiny.model(tiny.DEEP)


def dora(model, seed: int, output: bool = True) -> dict:
    state = tiny.lora(model, seed, size=0.6)
    generator = torch.Generator().manual_seed(100 + seed)
    weights = dict(model.model.diffusion_model.named_parameters())
    for key in [k for k in state if k.endswith("lora_up.weight")]:
        name = key.removesuffix(".lora_up.weight")
        weight = weights[name.removeprefix("diffusion_model.") + ".weight"]
        side = 0 if output else 1
        shape = [1] * weight.ndim
        shape[side] = weight.shape[side]
        state[f"{name}.dora_scale"] = 0.8 + torch.rand(shape, generator=generator)
    return state


def run(model, states, method, strengths):
    people = tiny.people(model, [{}], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    patches: dict = {}
    for state, strength in zip(states, strengths, strict=True):
        for key, more in tiny.person_patches(model, state, strength).items():
            patches[key] = (*patches.get(key, ()), *more)
    person = dataclasses.replace(people.people[0], patches=patches)
    return person, tiny.sample(*build(dataclasses.replace(people, people=(person,)))[:3])


def by_core(model, states, strengths, person):
    clone = model.clone()
    for state, strength in zip(states, strengths, strict=True):
        clone.add_patches(tiny.parsed(model, state), strength)
    return tiny.sample(clone, person.positive.conditioning, person.negative.conditioning)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kinds", ["dora", "lora dora", "dora dora", "dora lora dora"])
def test_doras_and_loras_of_one_person(model, method, kinds):
    states = [
        dora(model, i) if kind == "dora" else tiny.lora(model, i)
        for i, kind in enumerate(kinds.split(), 1)
    ]
    strengths = (0.8, 1.0, 0.6)[: len(states)]
    person, ours = run(model, states, method, strengths)
    assert tiny.relative(ours, by_core(model, states, strengths, person)) < TOLERANCE


@pytest.mark.parametrize("output", [True, False], ids=["output axis", "input axis"])
@pytest.mark.parametrize("method", METHODS)
def test_a_dora_over_a_lora_for_everybody(model, method, output):
    shared, own = tiny.lora(model, 9, size=0.6), dora(model, 1, output)
    common = tiny.merged(model, shared, strength=0.9)
    person, ours = run(common, [own], method, (0.8,))
    assert tiny.relative(ours, by_core(common, [own], (0.8,), person)) < TOLERANCE


def test_exact_is_core_hooks_with_doras_over_a_lora_for_everybody(model):
    common = tiny.merged(model, tiny.lora(model, 9, size=0.6))
    states = [dora(model, 1), dora(model, 2)]
    people = tiny.people(common, states, tiny.columns(2), method=Method.EXACT)
    wanted = tiny.sample(*tiny.core_hooks(people, states))
    assert tiny.relative(tiny.sample(*build(people)[:3]), wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_difference_over_a_lora_for_everybody(model, method):
    """Of a norm, which only exact can hold, beside a LoRA: both stay."""
    state = tiny.lora(model, 1)
    if method is Method.EXACT:
        norm = next(n for n, _ in model.model.diffusion_model.named_parameters() if "norm1" in n)
        name = norm.removesuffix(".weight")
        width = model.model.state_dict()[f"diffusion_model.{norm}"].shape[0]
        state[f"diffusion_model.{name}.diff"] = torch.full((width,), 0.5)
    common = tiny.merged(model, tiny.lora(model, 9, layers=tiny.EVERYTHING))
    person, ours = run(common, [state], method, (0.8,))
    assert tiny.relative(ours, by_core(common, [state], (0.8,), person)) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_lora_for_everybody_that_is_loaded_after_ours(model, method):
    """As core's hooks have it: the person's come after all others, wherever those were loaded."""
    own, later = dora(model, 1), tiny.lora(model, 9, size=0.6)
    people = tiny.people(model, [own], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    run = build(people)
    first = tiny.sample(*run[:3])
    run.model.add_patches(tiny.parsed(model, later), 0.9)
    common = dataclasses.replace(people, model=tiny.merged(model, later, strength=0.9))
    wanted = tiny.sample(*tiny.core_hooks(common, [own]))
    assert tiny.relative(tiny.sample(*run[:3]), wanted) < TOLERANCE
    assert tiny.relative(first, wanted) > 0.01
