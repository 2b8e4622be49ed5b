"""LoRA formats in both methods, against core's own merging of the same patches."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method
from kinds_of_files import CONVOLUTIONS_ONLY, KINDS, file_of, for_core

TOLERANCE = 1e-4


def against_core(model, state, method) -> float:
    people = tiny.people(
        model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method, strengths=[0.8]
    )
    person = people.people[0]
    clone = model.clone()
    clone.add_patches(tiny.parsed(model, for_core(state)), 0.8)
    reference = tiny.sample(clone, person.positive.conditioning, person.negative.conditioning)
    plain = tiny.sample(model.clone(), person.positive.conditioning, person.negative.conditioning)
    assert tiny.relative(plain, reference) > 0.02
    return tiny.relative(tiny.sample(*build(people)[:3]), reference)


CONVOLUTIONS = r"(in_layers\.2|out_layers\.3|\.op)\.weight$"
BIASED = r"(attn\d\.to_out\.0|ff\.net\.(0\.proj|2)|proj_in|proj_out)\.weight$"
LAYERS = {**dict.fromkeys(CONVOLUTIONS_ONLY, CONVOLUTIONS), "bias": BIASED}
OLD = {"glora old": tiny.ATTENTION}  # LyCORIS never wrote convolutions so
WHOLE = r"^(?!out\.|input_blocks\.0\.).*" + tiny.EVERYTHING
"""The first and the last convolution have 4 channels, which no block divides."""


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_as_core_merges_it(model, kind, method):
    layers = {**LAYERS, **OLD}.get(kind, WHOLE)
    assert against_core(model, file_of(model, kind, layers), method) < TOLERANCE


@pytest.mark.parametrize("method", list(Method))
def test_changed_norms_are_as_core_merges_them(model, method):
    tensors = file_of(model, "diff", r"norm\d?\.weight$")
    assert against_core(model, tensors, method) < TOLERANCE
    groups = {
        key: tensor
        for key, tensor in file_of(model, "diff", r"(in_layers\.0|\.norm)\.weight$").items()
    }
    assert against_core(model, groups, method) < TOLERANCE


def test_two_people_with_and_without_a_product_form_share_layers_in_exact(model):
    low, dense = tiny.lora(model, 1), file_of(model, "diff", r"attn1\.to_q\.weight$")
    masks = torch.stack([torch.ones(64, 96), torch.zeros(64, 96)])
    for index, tensors in enumerate((low, dense)):
        people = tiny.people(
            model, [low, dense], masks.roll(index, 0), base_strength=0.0, method=Method.EXACT
        )
        clone = model.clone()
        clone.add_patches(tiny.parsed(model, tensors), 1.0)
        person = people.people[index]
        reference = tiny.sample(clone, person.positive.conditioning, person.negative.conditioning)
        assert tiny.relative(tiny.sample(*build(people)[:3]), reference) < TOLERANCE


def test_several_loras_of_one_person_add_up(model):
    first, second = tiny.lora(model, 1), tiny.lora(model, 2, rank=6)
    people = tiny.people(model, [first], torch.ones(1, 64, 96), base_strength=0.0)
    person = people.people[0]
    patches = dict(person.patches)
    for key, more in tiny.person_patches(model, second, 0.5).items():
        patches[key] = (*patches.get(key, ()), *more)
    both = dataclasses.replace(person, patches=patches)
    clone = model.clone()
    clone.add_patches(tiny.parsed(model, first), 1.0)
    clone.add_patches(tiny.parsed(model, second), 0.5)
    reference = tiny.sample(clone, person.positive.conditioning, person.negative.conditioning)
    for method in Method:
        scene = dataclasses.replace(people, people=(both,), method=method)
        assert tiny.relative(tiny.sample(*build(scene)[:3]), reference) < TOLERANCE
