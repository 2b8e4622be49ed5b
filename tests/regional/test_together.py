"""What several people do together, in the engine: its oracle is core's own merged LoRA."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.compose import compose
from ensemble_portraits.ensemble.regional.people import Method, Together
from ensemble_portraits.ensemble.regional.settings import Settings
from ensemble_portraits.ensemble.regions.weights import adapter_gates, region_weights, together
from hypothesis import given
from hypothesis import strategies as st
from words import Words


def scene(model, states, shared_state, method, **more):
    """People in columns, of whom the first two do something together."""
    made = tiny.people(
        model, [*states, shared_state], tiny.columns(len(states) + 1), method=method, **more
    )
    *own, last = made.people
    masks = tiny.columns(len(states))
    own = tuple(dataclasses.replace(p, region=m) for p, m in zip(own, masks, strict=True))
    both = dataclasses.replace(last, region=together(masks[:2]))
    return dataclasses.replace(made, people=own, together=(Together((0, 1), both),))


def run(people):
    return tiny.sample(*build(people)[:3])


@pytest.mark.parametrize("method", list(Method))
def test_where_all_say_the_same_it_is_a_merged_lora(model, method):
    """Two people over the whole picture, with one text and no LoRA of their own: the shared LoRA acts
    once, everywhere."""
    state = tiny.lora(model, 7, layers=tiny.EVERYTHING)
    people = scene(model, [{}, {}], state, method, base_strength=0.0)
    text, negative = people.people[0].positive, people.people[0].negative

    def saying(person):
        return dataclasses.replace(person, positive=text, negative=negative)

    same = dataclasses.replace(
        people,
        people=tuple(map(saying, people.people)),
        together=(
            dataclasses.replace(people.together[0], painted=saying(people.together[0].painted)),
        ),
    )
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, state), 1.0)
    reference = tiny.sample(merged, text.conditioning, negative.conditioning)
    assert tiny.relative(run(same), reference) < 1e-4
    assert (
        tiny.relative(
            tiny.sample(model.clone(), text.conditioning, negative.conditioning), reference
        )
        > 0.01
    )


@pytest.mark.parametrize("method", list(Method))
def test_it_is_nobody_and_its_text_counts(model, method):
    people = scene(model, [tiny.lora(model, i) for i in (1, 2, 3)], {}, method)
    assert len(people.people) == len(people.masks) == 3
    assert len(people.painted) == len(people.painted_masks) == 4
    alone = dataclasses.replace(people, together=())
    assert tiny.relative(run(people), run(alone)) > 1e-3
    silent = dataclasses.replace(people.together[0].painted, region=torch.zeros(64, 96))
    nowhere = dataclasses.replace(people, together=(Together((0, 1), silent),))
    assert tiny.relative(run(nowhere), run(alone)) < 1e-5


def test_tiles_cut_what_people_do_together_too(model):
    people = scene(model, [{}, {}], {}, Method.FUSED)
    cut = people.with_regions(lambda region: region[:, 40:])
    assert cut.painted_masks.shape == (3, 64, 56)


@given(st.integers(2, 4), st.integers(0, 1000))
def test_weights_sum_to_one_and_people_keep_their_loras(count, seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.softmax(5 * torch.randn(count + 1, 12, 16, generator=generator), 0)[:count]
    both = together(masks[:2])
    assert both.min() >= 0 and (both >= 0.5 * masks[:2].amax(0) - 1e-6).all()
    every = torch.cat([masks, both[None]])
    assert torch.allclose(region_weights(every, 0.2).sum(0), torch.ones(12, 16), atol=1e-5)
    gates = adapter_gates(every, count)
    assert torch.equal(gates[:count], adapter_gates(masks)) and not gates[count:].any()


def test_it_reaches_between_people_where_they_meet_only():
    masks = torch.zeros(2, 100, 100)
    masks[0, :, 10:45], masks[1, :, 53:90] = 1, 1
    both = together(masks)
    assert both[50, 49] > 0 and both[50, 5] == 0 and both[50, 95] == 0
    masks[1] = 0
    masks[1, :, 80:] = 1
    assert together(masks)[50, 60] == 0


def test_a_prompt_says_it(model):
    text = "park BREAK photo BREAK a woman BREAK a man BREAK 1+2: dancing"
    made = compose(model, Words(), text=text, negative="bad", settings=Settings())  # type: ignore[arg-type]
    (both,) = made.together
    assert both.members == (0, 1) and both.painted.positive.text == "dancing, photo"
    assert len(made.people) == 2 and "people 1 and 2 together: dancing [no LoRA]" in made.notes
    assert both.painted.region.shape == made.people[0].region.shape
