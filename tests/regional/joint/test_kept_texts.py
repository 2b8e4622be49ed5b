"""What a model makes of people's texts by themselves is made once per run, and nothing else changes."""

import dataclasses

import pytest
import small
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.joint import run as joint_run
from ensemble_portraits.ensemble.regional.rows import KEY

TOLERANCE = 1e-5
SIZE = (8, 12)
STEPS = 3
# Where the first of them runs: tokens of the scene, of person 1 and person 2 there.
FIRST = {
    "krea2": ("txtfusion.refiner_blocks.0.attn.wq", (20, 13, 41)),
    "z_image": ("context_refiner.0.attention.qkv", (32, 32, 64)),
    "lumina2": ("context_refiner.0.attention.qkv", (20, 13, 41)),
}


@pytest.fixture(params=FIRST)
def name(request):
    return request.param


@pytest.fixture
def people(name):
    family = small.FAMILIES[name]
    model = family.make()
    states = [small.lora(model, 1 + i) for i in range(2)]
    return small.people(model, family, states, small.halves(SIZE, 0.2))


def sampled(name, people, steps=STEPS, change=lambda patched: None, **more):
    """The latent, and how many tokens of texts ran through the first text module, call by call."""
    family, layer = small.FAMILIES[name], FIRST[name][0]
    seen = []
    module = people.model.model.diffusion_model.get_submodule(layer)
    handle = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
    patched = build(people)
    change(patched)
    try:
        out = small.sample(*patched[:3], family=family, size=SIZE, steps=steps, **more)
    finally:
        handle.remove()
    return out, seen


def test_peoples_texts_run_once_and_the_scenes_at_every_step(name, people):
    base, first, second = FIRST[name][1]
    _, seen = sampled(name, people)
    assert seen == [base, first, second, *[base] * (STEPS - 1)]


def test_kept_or_made_anew_the_picture_is_the_same(name, people, monkeypatch):
    kept, _ = sampled(name, people)

    class Forgets(dict):
        def __setitem__(self, key, value):
            pass

    plain = joint_run.KeptTexts
    monkeypatch.setattr(
        joint_run, "KeptTexts", lambda texts, told, _: plain(texts, told, Forgets())
    )
    anew, seen = sampled(name, people)
    assert len(seen) == 3 * STEPS
    assert torch.equal(kept, anew)  # bit for bit
    monkeypatch.setattr(joint_run.JointFused, "_keeps", lambda *_: False)
    together, seen = sampled(name, people)
    assert seen == [sum(FIRST[name][1])] * STEPS
    assert tiny.relative(kept, together) < TOLERANCE


def test_another_run_makes_its_own(name, people):
    """A second run with the same patch, whose weights changed in between."""
    patched = build(people)
    family = small.FAMILIES[name]
    first = small.sample(*patched[:3], family=family, size=SIZE)
    state = small.lora(people.model, 7, layers=r"^(txtfusion|context_refiner)")
    changed = patched.model.clone()
    changed.add_patches(tiny.parsed(people.model, state))
    second = small.sample(changed, *patched[1:3], family=family, size=SIZE)
    wanted = build(dataclasses.replace(people, model=small.merged(people.model, state)))
    assert tiny.relative(first, second) > 1e-3
    assert tiny.relative(
        second, small.sample(*wanted[:3], family=family, size=SIZE)
    ) < TOLERANCE  # fmt: skip


def test_nothing_is_kept_when_the_run_has_ended(name, people):
    held = []

    def look(patched):
        (patch,) = patched.model.wrappers[WrappersMP.CALC_COND_BATCH][KEY]
        held.append(patch.__self__.forward)

    sampled(name, people, change=look)
    assert held[0].cache == {} and not small.touched(people.model)


def test_texts_of_a_schedule_are_each_their_own(name, people):
    """Person 2's text changes in the middle of the run, to one of the same length."""
    family, last = small.FAMILIES[name], FIRST[name][1][2]
    texts = [small.text(seed, 41, family).conditioning[0] for seed in (11, 50)]
    halves = [(0.0, 0.5), (0.5, 1.0)]
    scheduled = [
        [context, {**values, "start_percent": start, "end_percent": end}]
        for (context, values), (start, end) in zip(texts, halves, strict=True)
    ]
    second = people.people[1]
    members = [
        dataclasses.replace(second, positive=dataclasses.replace(second.positive, conditioning=c))
        for c in (scheduled, [texts[0]], [texts[1]])
    ]
    changing, early, late = (
        dataclasses.replace(people, people=(people.people[0], member)) for member in members
    )
    out, seen = sampled(name, changing)
    assert seen.count(last) == 2 and len(seen) == STEPS + 1 + 2  # person 1's is made once
    for other in (early, late):  # and both were seen
        assert tiny.relative(out, sampled(name, other)[0]) > 1e-3


def test_others_who_change_attention_or_weights_by_step_see_every_text_at_every_step(name, people):
    def theirs(func, *args, **kwargs):
        return func(*args, **kwargs)

    def override(patched):
        options = patched.model.model_options.setdefault("transformer_options", {})
        options["optimized_attention_override"] = theirs

    total = sum(FIRST[name][1])
    _, seen = sampled(name, people, change=override)
    assert seen == [total] * STEPS


def test_a_batch_and_both_sides_of_cfg(name, people):
    """Each row has its own texts: a batch of two, at CFG 4, against the way without keeping."""
    kept, seen = sampled(name, people, cfg=4.0, batch=2)
    assert len(seen) == 2 * (3 + STEPS - 1)
    single, _ = sampled(name, people, cfg=4.0)
    assert tiny.relative(kept[:1], single) < TOLERANCE
