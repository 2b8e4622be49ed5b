"""Nodes of core that change conditioning after ours, on DiTs: what they do to a text they do to
everybody's, and an area holds the people who stand there. The oracle is the same node on a graph
with the LoRA merged."""

import dataclasses

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import TextSees

import nodes  # ComfyUI's

TOLERANCE = 1e-5
SIZE = (16, 24)


def zeroed(side):
    return nodes.ConditioningZeroOut().zero_out(side)[0]


def lengthened(side):
    other = [[torch.randn(1, 5, side[0][0].shape[-1], generator=torch.Generator().manual_seed(4)),
              side[0][1]]]  # fmt: skip
    return nodes.ConditioningConcat().concat(side, other)[0]


def averaged(side):
    other = [[torch.ones(1, 9, side[0][0].shape[-1]), dict(side[0][1])]]
    return nodes.ConditioningAverage().addWeighted(side, other, 0.7)[0]


def in_area(side):
    # Half of the picture, moved in: the crop's middle is not the canvas's.
    return nodes.ConditioningSetArea().append(side, 96, 64, 64, 32, 1.0)[0]


@pytest.fixture(scope="module")
def everywhere():
    """family, model, LoRA and one person everywhere, by the family's name."""
    made = {}

    def of(name):
        if name not in made:
            family = small.FAMILIES[name]
            model = family.make()
            state = small.lora(model, 1)
            people = small.people(model, family, [state], torch.ones(1, *SIZE), base_strength=0.0,
                                  text_sees=TextSees.ALL)  # fmt: skip
            made[name] = family, model, state, people
        return made[name]

    return of


@pytest.mark.parametrize("change", [zeroed, lengthened, averaged, in_area])
@pytest.mark.parametrize(
    "name", ["z_image", "krea2", "flux", "flux2", "chroma", "qwen_image", "anima", "sd3"]
)
def test_what_a_node_does_to_our_conditioning_reaches_the_person(everywhere, name, change):
    family, model, state, people = everywhere(name)
    person = people.people[0]
    run = build(people)
    ours = small.sample(run.model, change(run.positive), change(run.negative), family=family,
                        size=SIZE, cfg=3.0)  # fmt: skip
    texts = person.positive.conditioning, person.negative.conditioning
    reference = small.sample(small.merged(model, state), *map(change, texts), family=family,
                             size=SIZE, cfg=3.0)  # fmt: skip
    plain = small.sample(small.merged(model, state), *texts, family=family, size=SIZE, cfg=3.0)
    assert tiny.relative(plain, reference) > 1e-3  # the node matters
    assert tiny.relative(ours, reference) < TOLERANCE


def test_the_neighbour_is_not_painted_into_an_area(everywhere):
    """Two people side by side, the area over the left one's half: as the left one alone there."""
    family, model, _, _ = everywhere("krea2")  # without a pooled vector, which has no place
    states = [small.lora(model, 1), small.lora(model, 2)]
    both = small.people(model, family, states, small.halves(SIZE), base_strength=0.0)
    ones = torch.ones(1, *SIZE)
    left = dataclasses.replace(both, people=(dataclasses.replace(both.people[0], region=ones[0]),))

    def painted(people):
        run = build(people)
        area = [nodes.ConditioningSetArea().append(side, 64, 64, 0, 32, 1.0)[0]
                for side in (run.positive, run.negative)]  # fmt: skip
        return small.sample(run.model, *area, family=family, size=SIZE)

    assert tiny.relative(painted(both), painted(left)) < TOLERANCE
