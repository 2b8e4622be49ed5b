"""The effect matrix on effects that are known: by hand, and of LoRAs that each shift one channel."""

import dataclasses
import json

import numpy as np
import pytest
import scipy.stats
import tiny
import torch
from ensemble_portraits.ensemble.leak.draw_effects import as_json, picture
from ensemble_portraits.ensemble.leak.effects import (
    Effects,
    areas,
    effect_matrix,
    effects_of_people,
    interval,
    sampled,
    with_strengths,
)
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.sampling import SamplingSettings

PEOPLE, SIZE = 3, (16, 24)
KNOWN = np.array([[1.0, 0.25, 0.5], [0.0, 2.0, 1.0], [0.5, 0.1, 0.5]])
BY = SamplingSettings(seed=3, steps=4, cfg=3.0, scheduler="normal")


def test_known_effects_give_the_known_matrix():
    """Person i's LoRA adds KNOWN[i, j] to a random sign in column j, on top of noise of the seed."""
    masks = tiny.columns(PEOPLE, 64, 96)

    def run(strengths, seed):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(1, 4, *SIZE, generator=generator)
        signs = torch.sign(torch.randn(1, 4, *SIZE, generator=generator))
        sizes = torch.tensor(strengths).double() @ torch.from_numpy(KNOWN)
        return noise + signs * sizes.repeat_interleave(8)

    found = effect_matrix(run, masks, [5, 6])
    wanted = KNOWN / KNOWN.diagonal()[:, None]
    assert np.allclose(found.tables, wanted, atol=1e-6)
    assert found.leak.mean == pytest.approx((wanted.sum() - 3) / 6, abs=1e-6)
    assert found.without_effect == ()


def test_a_lora_without_effect_has_no_row():
    effects = effect_matrix(
        lambda s, seed: torch.full((1, 4, *SIZE), s[0]), tiny.columns(2), [1, 2]
    )
    assert effects.without_effect == (1,)
    assert effects.leak == (1.0, 0.0)
    report = json.loads(as_json(effects, [1, 2]))
    assert report["mean"] == [[1.0, 1.0], [None, None]] and report["without_effect"] == [2]


def test_the_interval_is_students():
    values = np.array([0.3, 0.5, 0.4, 0.9])
    low, high = scipy.stats.t.interval(0.95, 3, loc=values.mean(), scale=scipy.stats.sem(values))
    mean, half = interval(values)
    assert (mean - half, mean + half) == (pytest.approx(low), pytest.approx(high))
    # By the table: t(0.975, 3) = 3.182.
    assert half == pytest.approx(3.182 * values.std(ddof=1) / 2, rel=1e-3)
    assert interval(np.array([0.3, np.nan])) == (0.3, None)


def test_areas_leave_borders_with_others_out_but_not_the_pictures():
    found = areas(tiny.columns(3, 128, 192), *SIZE)
    assert [np.flatnonzero(a.any(0)).tolist() for a in found] == [
        list(range(7)), list(range(9, 15)), list(range(17, 24)),
    ]  # fmt: skip
    assert all(a[:, a.any(0)].all() for a in found)
    assert areas(tiny.columns(3, 128, 192), *SIZE, margin=0).sum() == SIZE[0] * SIZE[1]
    # Nobody is left without: a person of one pixel keeps it.
    dot = torch.zeros(2, 16, 24)
    dot[0, 3, 3], dot[1, 8:] = 1, 1
    assert areas(dot, *SIZE)[0].sum() == 1


def test_who_has_no_area_is_named():
    masks = tiny.columns(2, 32, 32)
    masks[1] = 0.3
    with pytest.raises(ValueError, match="person 2 has no part of the latent"):
        areas(masks, 8, 8)


@pytest.fixture(scope="module")
def scene():
    """Model, three LoRAs of one latent channel each (as tests/regional/test_leakage.py), masks."""
    model = tiny.model()
    states = []
    for person in range(PEOPLE):
        state = tiny.lora(model, 50 + person, rank=1, layers=r"^out\.2\.weight$", size=0.5)
        up = state["diffusion_model.out.2.lora_up.weight"]
        up.zero_()[person] = 1.0
        states.append(state)
    return model, states, tiny.columns(PEOPLE, 128, 192)


def latent() -> dict:
    return {"samples": torch.zeros(1, 4, *SIZE)}


@pytest.mark.long
@torch.no_grad()
def test_what_the_methods_are_known_to_leak(scene):
    """fused near core's hooks, exact on them, merged LoRAs everywhere about alike."""
    model, states, masks = scene
    people = tiny.people(model, states, masks)

    def hooks(strengths, seed):
        made = tiny.core_hooks(people, states, strengths)
        return tiny.sample(*made, size=SIZE, steps=4, cfg=3.0, seed=seed)

    def merged(strengths, seed):
        everything = model.clone()
        for state, strength in zip(states, strengths, strict=True):
            everything.add_patches(tiny.parsed(model, state), strength)
        none = dataclasses.replace(with_strengths(people, [0.0] * PEOPLE), model=everything)
        return tiny.sample(*build(none)[:3], size=SIZE, steps=4, cfg=3.0, seed=seed)

    runs = {m.value: sampled(dataclasses.replace(people, method=m), latent(), BY) for m in Method}
    runs |= {"hooks": hooks, "merged": merged}
    tables = {name: effect_matrix(run, masks, [3, 4]) for name, run in runs.items()}
    leaks = {name: found.leak.mean for name, found in tables.items()}
    assert leaks["fused"] <= 1.5 * leaks["hooks"]
    assert np.allclose(tables["exact"].tables, tables["hooks"].tables, atol=1e-3)
    assert leaks["merged"] > 10 * leaks["fused"] and 0.7 < leaks["merged"] < 1.3


@torch.no_grad()
def test_the_nodes_function_samples_as_ksampler_does(scene):
    model, states, masks = scene
    people = tiny.people(model, states, masks, strengths=[0.5, 1.0, 0.0])
    found = effects_of_people(people, latent(), BY, seeds=1)
    assert found.tables.shape == (1, 3, 3) and found.without_effect == (2,)
    # The strengths of the prompt times those of the run, by a build of its own.
    half = tiny.people(model, states, masks, strengths=[0.5, 0.0, 0.0])
    wanted = tiny.sample(*build(half)[:3], size=SIZE, steps=4, cfg=3.0, seed=3)
    assert torch.allclose(sampled(people, latent(), BY)([1.0, 0.0, 1.0], 3), wanted, atol=1e-5)


def test_too_few_people_or_no_lora_are_refused(scene):
    model, states, masks = scene
    alone = tiny.people(model, states[:1], masks[:1])
    with pytest.raises(ValueError, match=r"people: 1 in the prompt"):
        effects_of_people(alone, latent(), BY, 1)
    nobody = tiny.people(model, [{}, {}], masks[:2])
    with pytest.raises(ValueError, match="people: nobody has a LoRA"):
        effects_of_people(nobody, latent(), BY, 1)


def test_the_picture_is_dark_where_the_effect_is():
    drawn = picture(Effects(np.array([[[1.0, 0.0], [0.5, 1.0]], [[1.0, 0.1], [np.nan, np.nan]]])))
    assert drawn.shape[0] == 1 and drawn.shape[3] == 3

    def shade(row: int, column: int) -> float:
        y, x = 56 + row * 88 + 10, 96 + column * 88 + 10
        return float(drawn[0, y, x].mean())

    assert shade(0, 0) == 0.0 and shade(0, 1) == pytest.approx(0.95, abs=0.01)
    assert shade(1, 0) == pytest.approx(0.5, abs=0.01)
