"""Faces in one sampler run: each as if it were alone, with its own text, LoRA, noise and hint."""

from dataclasses import replace

import comfy.controlnet
import comfy.samplers
import pytest
import tiny
import torch
from ensemble_portraits.ensemble.faces.noise import COUPLED, FaceNoise, face_seed, sampler_for
from ensemble_portraits.ensemble.faces.painters import PeoplePainter, PlainPainter
from ensemble_portraits.ensemble.faces.redraw import redraw
from ensemble_portraits.ensemble.regional.people import Text
from redrawing import ALL, QUICK, VAE, inputs, people_of, run, sampled, targets


@pytest.fixture(scope="module")
def patcher():
    return tiny.model()


@pytest.fixture(scope="module")
def painter(patcher):
    return PeoplePainter.of(people_of(patcher)[0], None, None)


# One of each kind: without noise, with a memory, plain noise, Brownian noise, noise in between.
KINDS = {
    "euler",
    "ddim",
    "dpmpp_2m",
    "euler_ancestral",
    "dpmpp_sde",
    "er_sde",
}
SAMPLERS = [
    name if name in KINDS else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(set(comfy.samplers.SAMPLER_NAMES) - set(COUPLED))
]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_face_alone_is_the_same_face_among_four(painter, sampler):
    """1e-4 of the values, which grow large with some samplers: batches of another size sum in another
    order, and a network of random weights amplifies it."""
    settings = sampled(sampler=sampler)
    together = run(ALL, painter, settings)
    alone = run(ALL[3:], painter, settings)
    assert tiny.relative(alone[0], together[3]) < 1e-4
    assert not torch.allclose(together[0], inputs(ALL)[0][0], atol=0.02)


@pytest.mark.parametrize("sampler", sorted(COUPLED))
def test_samplers_that_couple_faces_are_refused(painter, sampler):
    with pytest.raises(ValueError, match=f"sampler: {sampler} cannot"):
        run(ALL, painter, sampled(sampler=sampler))


def test_one_sampler_run_for_four_loras(painter, patcher, monkeypatch):
    entered, calls, rewrites = [], [], []
    sample = comfy.samplers.KSAMPLER.sample
    monkeypatch.setattr(
        comfy.samplers.KSAMPLER, "sample", lambda *a, **k: entered.append(1) or sample(*a, **k)
    )
    patch = type(patcher).patch_weight_to_device
    monkeypatch.setattr(
        type(patcher),
        "patch_weight_to_device",
        lambda self, key, *a, **k: (
            rewrites.append(key in self.patches) or patch(self, key, *a, **k)
        ),
    )
    hook = patcher.model.diffusion_model.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append(args[0].shape[0]), with_kwargs=True
    )
    run(ALL, painter)
    hook.remove()
    assert len(entered) == 1
    assert calls == [8, 8, 8]  # three steps, four faces, both sides of CFG
    assert not any(rewrites)


def merged(patcher, state: dict, person) -> PlainPainter:
    """The same person by core: LoRA merged into the weights, plain conditioning."""
    model = patcher.clone()
    model.add_patches(tiny.parsed(patcher, state), 1.0)
    return PlainPainter.of(model, person.positive.conditioning, person.negative.conditioning)


@pytest.mark.parametrize("layers", [tiny.ATTENTION, tiny.EVERYTHING])
def test_each_face_is_painted_as_by_its_merged_lora(layers):
    """The oracle is core's LoRA merging and one run per face."""
    patcher = tiny.model()
    states = [tiny.lora(patcher, 40 + i, layers=layers) for i in range(4)]
    people = tiny.people(patcher, states, tiny.columns(4))
    together = run(ALL, PeoplePainter.of(people, None, None))
    for i, target in list(enumerate(ALL))[1:3]:
        assert target.person is not None
        core = merged(patcher, states[target.person], people.people[target.person])
        alone = run([target], core)[0]
        assert tiny.relative(alone, together[i]) < 1e-4
    swapped = run(targets([0, 2, 3, 1]), PeoplePainter.of(people, None, None))
    assert not torch.allclose(swapped[0], together[0], atol=1e-2)


def test_texts_of_unlike_length_share_the_run(patcher):
    people, _ = people_of(patcher, tokens=[7, 7, 14, 7, 21])
    painter = PeoplePainter.of(people, None, None)
    assert len(painter.groups(ALL)) == 1
    together = run(ALL, painter)
    for i in (0, 2):
        assert tiny.relative(run(ALL[i : i + 1], painter)[0], together[i]) < 1e-4


def test_lengths_without_a_common_multiple_get_runs_of_their_own(patcher):
    people, _ = people_of(patcher, tokens=[7, 7 * 5, 7 * 7, 7 * 11, 7 * 5])
    painter = PeoplePainter.of(people, None, None)
    groups = painter.groups(targets([0, 1, 2, 3]))
    assert sorted(len(group) for group in groups) == [1, 1, 2]
    together = run(ALL, painter)
    assert tiny.relative(run(ALL[:1], painter)[0], together[0]) < 1e-4


def test_nobodys_face_takes_the_common_text_and_no_lora(patcher):
    people, _ = people_of(patcher)
    mixed = targets([2, None, 3, 1])
    together = run(mixed, PeoplePainter.of(people, None, None))
    plain = PlainPainter.of(patcher, people.base.conditioning, people.negative.conditioning)
    assert tiny.relative(run(mixed[1:2], plain)[0], together[1]) < 1e-4


def test_pooled_vectors_are_each_faces_own():
    patcher = tiny.model(tiny.SDXL)
    states = [tiny.lora(patcher, 60 + i) for i in range(4)]
    people = tiny.people(patcher, states, tiny.columns(4), pooled=64)
    painter = PeoplePainter.of(people, None, None)
    together = run(ALL, painter)
    for i in (1, 2):
        assert tiny.relative(run(ALL[i : i + 1], painter)[0], together[i]) < 1e-4
    others = people.people[ALL[1].person].positive.conditioning[0][1]
    person = replace(
        people.people[0],
        positive=Text("x", [[people.people[0].positive.conditioning[0][0], others]]),
    )
    changed = replace(people, people=(person, *people.people[1:]))
    assert not torch.allclose(run(ALL, PeoplePainter.of(changed, None, None))[1], together[0])


def test_split_by_memory_gives_the_same(painter, monkeypatch):
    import ensemble_portraits.ensemble.faces.redraw as module

    together = run(ALL, painter)
    monkeypatch.setattr(module, "faces_at_once", lambda model, shape: 3)
    assert tiny.relative(run(ALL, painter), together) < 1e-4


def test_out_of_memory_halves_the_batch(painter, monkeypatch):
    import comfy.model_management
    import ensemble_portraits.ensemble.faces.redraw as module

    together, sizes, sample = run(ALL, painter), [], module._sample

    def small(latent, *args):
        sizes.append(len(latent))
        if len(latent) > 2:
            raise comfy.model_management.OOM_EXCEPTION("no memory")
        return sample(latent, *args)

    monkeypatch.setattr(module, "_sample", small)
    assert tiny.relative(run(ALL, painter), together) < 1e-4
    assert sizes == [4, 2, 2]


def test_other_failures_are_not_swallowed(painter, monkeypatch):
    import ensemble_portraits.ensemble.faces.redraw as module

    def broken(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(module, "_sample", broken)
    with pytest.raises(RuntimeError, match="something else"):
        run(ALL, painter)


def test_the_model_is_as_it_was_after_the_run(painter, patcher):
    latent = torch.zeros(1, 4, 8, 8)
    text = tiny.text(1).conditioning
    before = tiny.sample(patcher, text, text, latent=latent)
    run(ALL, painter)
    assert torch.equal(tiny.sample(patcher, text, text, latent=latent), before)
    assert not any("forward" in module.__dict__ for module in patcher.model.modules())


def test_outside_the_mask_the_sampler_keeps_the_latent(painter):
    """Differential diffusion: where the mask is 0 only the last, smallest step may act."""
    pixels, masks = inputs(ALL)
    kept = VAE.decode(VAE.encode(pixels))
    out = redraw(pixels, masks * 0, ALL, VAE, painter, QUICK)
    whole = redraw(pixels, masks * 0 + 1, ALL, VAE, painter, QUICK)
    assert (out - kept).abs().mean() < 0.2 * (whole - kept).abs().mean()


def test_noise_follows_from_seed_and_owner():
    assert face_seed(1, "person 0") == face_seed(1, "person 0")
    assert len({face_seed(s, w) for s in range(50) for w in ("a", "b")}) == 100
    latent = {"samples": torch.zeros(2, 4, 8, 8)}
    pair = FaceNoise((7, 8)).generate_noise(latent)
    single = FaceNoise((8,)).generate_noise({"samples": latent["samples"][:1]})
    assert torch.equal(pair[1], single[0])
    assert abs(float(FaceNoise(tuple(range(64))).generate_noise(
        {"samples": torch.zeros(64, 4, 8, 8)}).std()) - 1) < 0.02  # fmt: skip


@pytest.mark.parametrize("name", ["euler_ancestral", "dpmpp_2m_sde", "er_sde", "lcm"])
def test_step_noise_is_normal_and_not_the_first_noise(name):
    noise = FaceNoise((1, 2)).generate_noise({"samples": torch.zeros(2, 4, 32, 32)})
    sigmas = torch.tensor([10.0, 5.0, 1.0, 0.0])
    draw = sampler_for(name, (1, 2), noise, sigmas).extra_options["noise_sampler"]
    steps = [draw(sigmas[0], sigmas[1]), draw(sigmas[1], sigmas[2])]
    for step in steps:
        assert abs(float(step.mean())) < 0.05 and abs(float(step.std()) - 1) < 0.05
    fields = torch.stack([noise, *steps]).flatten(2).transpose(0, 1).reshape(6, -1)
    correlation = torch.corrcoef(fields) - torch.eye(6)
    assert correlation.abs().max() < 0.1


def test_a_seed_gives_one_picture_and_another_seed_another(painter):
    settings = sampled(sampler="euler_ancestral")
    first = run(ALL, painter, settings)
    assert torch.equal(run(ALL, painter, settings), first)
    assert not torch.allclose(
        run(ALL, painter, sampled(sampler="euler_ancestral", seed=6)), first, atol=1e-2
    )


def test_an_interruption_ends_the_run(painter):
    import comfy.model_management

    comfy.model_management.interrupt_current_processing(True)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(ALL, painter)
