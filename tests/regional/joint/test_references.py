"""A picture per person on the families that take reference latents: core's own run of one reference is
the oracle, and nobody sees another's."""

import dataclasses

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.joint.attention import JointAttention
from ensemble_portraits.ensemble.regional.people import Method, TextSees
from pictures import NAMES, picture, plain, run, shown, with_references

TOLERANCE = 1e-5
METHODS = {
    "flux": ("offset", "index", "uxo"),
    "flux2": ("index", "index_timestep_zero"),
    "qwen_image": ("index", "negative_index", "offset", "index_timestep_zero"),
    "krea2": ("index", "index_timestep_zero"),
}
CASES = [(name, method) for name in NAMES for method in METHODS[name]]
BOTH = list(TextSees)


@pytest.mark.parametrize("sees", BOTH)
@pytest.mark.parametrize("cfg", [1.0, 4.0])
@pytest.mark.parametrize(("name", "method"), CASES)
def test_one_person_everywhere_is_cores_single_reference(models, name, method, cfg, sees):
    model, family = models(name), small.FAMILIES[name]
    people = small.people(
        model, family, [{}], torch.ones(1, *family.sizes[0]), base_strength=0.0, text_sees=sees
    )
    without = plain(name, model, people.people[0], cfg=cfg)
    people = with_references(people, [picture(name, 1)], method)
    reference = plain(name, model, people.people[0], cfg=cfg)
    assert tiny.relative(without, reference) > 0.005  # the picture matters
    assert tiny.relative(run(name, people, cfg=cfg), reference) < TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_with_a_lora_it_is_cores_merged_one(models, name):
    model, family = models(name), small.FAMILIES[name]
    state = small.lora(model, 5, layers=r"^(?!llm_adapter\.)")
    people = small.people(
        model, family, [state], torch.ones(1, *family.sizes[0]), base_strength=0.0
    )
    people = with_references(people, [picture(name, 1)])
    reference = plain(name, small.merged(model, state), people.people[0])
    assert tiny.relative(plain(name, model, people.people[0]), reference) > 0.005
    assert tiny.relative(run(name, people), reference) < TOLERANCE


@pytest.mark.parametrize(("name", "method"), CASES)
def test_twins_with_the_same_picture_are_one_person(models, name, method):
    """Each reference stands where the only one would."""
    model, family = models(name), small.FAMILIES[name]
    people = small.people(
        model, family, [{}, {}], small.halves(family.sizes[0], 0.4), tokens=(20, 13, 13),
        base_strength=0.0, text_sees=TextSees.ALL,
    )  # fmt: skip
    people = dataclasses.replace(people, people=tuple(
        dataclasses.replace(people.people[0], region=p.region) for p in people.people
    ))  # fmt: skip
    people = with_references(people, [picture(name, 1)] * 2, method)
    reference = plain(name, model, people.people[0])
    assert tiny.relative(run(name, people), reference) < TOLERANCE


def two(models, name, latents, **more):
    model, family = models(name), small.FAMILIES[name]
    masks = small.halves(family.sizes[0])
    people = small.people(model, family, [{}, {}], masks, base_strength=0.0, **more)
    return with_references(people, latents)


@pytest.mark.parametrize("name", NAMES)
def test_in_every_attention_a_picture_acts_on_its_own_person_alone(models, name, monkeypatch):
    """Layer by layer, with everything else the same: another reference changes nothing of the other
    person's places, text and picture, nor of the scene's text."""
    people = two(models, name, [picture(name, 1), picture(name, 2)])
    merged = JointAttention._merged
    layers = []

    def both(self, q, k, v, *more):
        out = merged(self, q, k, v, *more)
        texts = self.tokens.texts
        first = texts.tokens + self.tokens.grid.tokens
        theirs = slice(first, first + texts.references[0])
        other = [t.clone() for t in (q, k, v)]
        for tensor in other:
            tensor[:, :, theirs] = tensor[:, :, theirs].flip(2) * 3
        changed = (merged(self, *other, *more) != out).any(3).any(1).any(0)
        place = self.tokens.weights[-1] > 0  # the second person's
        image = changed[texts.tokens : first]
        spans = changed[: texts.tokens].split(texts.lengths)
        layers.append((
            bool(image[place].any()), bool(spans[1].any()),
            bool(changed[first + texts.references[0] :].any()), bool(image[~place].all()),
        ))  # fmt: skip
        return out

    monkeypatch.setattr(JointAttention, "_merged", both)
    run(name, people)
    assert layers and set(layers) == {(False, False, False, True)}


@pytest.mark.parametrize("name", NAMES)
def test_isolated_people_are_blind_to_each_others_pictures(models, name):
    """With isolate at 1 nothing carries a picture to the other half through any number of layers."""
    outs = [
        run(name, two(models, name, [picture(name, seed), picture(name, 2)],
                      isolation=Isolation(1.0)))
        for seed in (1, 9)
    ]  # fmt: skip
    wide = outs[0].shape[-1] // 2
    assert torch.equal(outs[0][..., wide:], outs[1][..., wide:])
    assert tiny.relative(outs[0][..., :wide], outs[1][..., :wide]) > 0.005


@pytest.mark.parametrize("name", NAMES)
def test_elsewhere_less_than_in_the_ordinary_run(models, name):
    """Without isolation the places still look at each other; core's run of both pictures carries a
    picture everywhere at once."""

    def change(outs):
        wide = outs[0].shape[-1] // 2
        return tiny.relative(outs[0][..., wide:], outs[1][..., wide:])

    def ordinary(seed):
        people = two(models, name, [None, None])
        person = shown(people.people[0], picture(name, seed), "index")
        for _, values in person.positive.conditioning:
            values["reference_latents"] = [*values["reference_latents"], picture(name, 2)]
        return plain(name, models(name), person)

    ours = change([
        run(name, two(models, name, [picture(name, seed), picture(name, 2)]))
        for seed in (1, 9)
    ])  # fmt: skip
    assert ours < change([ordinary(seed) for seed in (1, 9)])


@pytest.mark.parametrize("name", NAMES)
def test_people_with_and_without_a_picture(models, name):
    some = two(models, name, [None, picture(name, 2, (7, 9))])
    none = two(models, name, [None, None])
    out = [run(name, people, cfg=3.0) for people in (some, none)]
    assert out[0].isfinite().all() and tiny.relative(*out) > 0.005


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_of_somebody_without_a_place_costs_nothing(models, name):
    def half(latents):
        people = two(models, name, latents)
        first = people.people[0].region
        return people.with_regions(lambda region: region * float(region is first))

    both, alone = half([picture(name, 1), picture(name, 2)]), half([picture(name, 1), None])
    assert torch.equal(run(name, both), run(name, alone))


@pytest.mark.parametrize("method", list(Method))
def test_a_lora_on_the_modulation_and_a_modulation_of_the_picture_are_refused(models, method):
    model, family = models("qwen_image"), small.FAMILIES["qwen_image"]
    state = small.lora(model, 5, layers=r"img_mod")
    people = small.people(model, family, [state], torch.ones(1, 16, 24), method=method)
    people = with_references(people, [picture("qwen_image", 1)], "index_timestep_zero")
    with pytest.raises(ValueError, match=r"img_mod.*modulates reference pictures apart.*Multi"):
        build(people)


@pytest.mark.parametrize("name", NAMES)
def test_exact_paints_each_by_cores_own_single_reference(models, name):
    model, family = models(name), small.FAMILIES[name]
    people = small.people(
        model, family, [{}], torch.ones(1, *family.sizes[0]), base_strength=0.0,
        method=Method.EXACT,
    )  # fmt: skip
    people = with_references(people, [picture(name, 1)])
    assert tiny.relative(run(name, people), plain(name, model, people.people[0])) < TOLERANCE
