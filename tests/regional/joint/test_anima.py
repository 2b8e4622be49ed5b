"""What is Anima's own: texts that its adapter makes before sampling, keys and values once per run,
modulation by place."""

import dataclasses

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method, Text

FAMILY = small.FAMILIES["anima"]
SIZE = (8, 12)


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    # As ComfyUI runs: Anima's adapter works before sampling in inference mode only.
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def model():
    return FAMILY.make()


def with_ids(text: Text, seed: int, count: int) -> Text:
    """The text as Anima's encoder gives it: with ids (of T5's tokens) that the adapter reads."""
    generator = torch.Generator().manual_seed(seed)
    values = {
        "t5xxl_ids": torch.randint(0, 32128, (count,), generator=generator),
        "t5xxl_weights": 0.5 + torch.rand(count, generator=generator),
    }
    return dataclasses.replace(text, conditioning=[[text.conditioning[0][0], values]])


@pytest.mark.parametrize("method", list(Method))
def test_texts_go_through_the_adapter(model, method):
    """It makes 512 tokens of every text, whatever its length."""
    state = small.lora(model, 1)
    people = small.people(
        model, FAMILY, [state], torch.ones(1, *SIZE), base_strength=0.0, method=method
    )
    positive = with_ids(people.people[0].positive, 1, 9)
    negative = with_ids(people.people[0].negative, 2, 14)
    person = dataclasses.replace(people.people[0], positive=positive, negative=negative)
    people = dataclasses.replace(
        people, base=with_ids(people.base, 3, 11), negative=with_ids(people.negative, 4, 7),
        people=(person,),
    )  # fmt: skip
    merged = small.merged(model, state)
    wanted = small.sample(
        merged, positive.conditioning, negative.conditioning, family=FAMILY, size=SIZE, cfg=4.0
    )
    other = small.sample(
        merged, people.base.conditioning, negative.conditioning, family=FAMILY, size=SIZE, cfg=4.0
    )
    assert tiny.relative(other, wanted) > 1e-3  # the text matters
    run = build(people)
    out = small.sample(*run[:3], family=FAMILY, size=SIZE, cfg=4.0)
    assert tiny.relative(out, wanted) < 1e-5


def test_keys_and_values_are_made_once_per_run(model):
    people = small.people(
        model, FAMILY, [small.lora(model, 1), small.lora(model, 2)], small.halves(SIZE, 0.2)
    )
    calls = []
    layer = model.model.diffusion_model.blocks[1].cross_attn.k_proj
    handle = layer.register_forward_pre_hook(lambda _, args: calls.append(args[0].shape[1]))
    try:
        small.sample(*build(people)[:3], family=FAMILY, size=SIZE, steps=3)
    finally:
        handle.remove()
    assert sorted(calls) == [13, 20, 20, 20, 41]  # the scene's in every step


def test_modulation_is_each_places_own(model):
    """What goes into the first block: at the left as in the plain model, at the right as in one with
    the right person's LoRA merged."""
    state = small.lora(model, 1, layers=r"(adaln_modulation|linear_2)")
    people = small.people(model, FAMILY, [{}, state], small.halves(SIZE), base_strength=0.0)
    text = people.base.conditioning
    seen = []
    layer = model.model.diffusion_model.blocks[0].self_attn.q_proj
    handle = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    try:
        for run in (
            build(people)[:3],
            (model, text, text),
            (small.merged(model, state), text, text),
        ):
            small.sample(*run, family=FAMILY, size=SIZE, steps=1)
    finally:
        handle.remove()
    ours, plain, merged = (x[0].unflatten(0, (SIZE[0] // 2, SIZE[1] // 2)) for x in seen)
    assert tiny.relative(plain, merged) > 0.05
    middle = SIZE[1] // 4
    assert tiny.relative(ours[:, :middle], plain[:, :middle]) < 1e-6
    assert tiny.relative(ours[:, middle:], merged[:, middle:]) < 1e-6


@pytest.mark.parametrize("method", list(Method))
def test_a_lora_on_the_adapter_is_refused_by_name(model, method):
    state = small.lora(model, 1, layers=r"^llm_adapter\.blocks\.0\.mlp")
    people = small.people(model, FAMILY, [state], torch.ones(1, *SIZE), method=method)
    with pytest.raises(ValueError, match=r"llm_adapter\.blocks\.0\.mlp\.0.*MultiLoraLoader"):
        build(people)
