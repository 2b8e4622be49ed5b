"""Others' patches of cross-attention see everybody's text, in batches that they can read."""

import pytest
import tiny
import torch
from comfy.ldm.modules.attention import optimized_attention
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-4
METHODS = list(Method)


@pytest.fixture(scope="module")
def model():
    return tiny.model(tiny.DEEP)


def one_person(model, method, tokens):
    """Everywhere; tokens of the base, the positive and the negative."""
    state = tiny.lora(model, 1)
    people = tiny.people(
        model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method,
        tokens=[tokens[0], tokens[1]],
    )  # fmt: skip
    person = people.people[0]
    person.negative.conditioning[0][0] = tiny.text(21, tokens[2]).conditioning[0][0]
    texts = person.positive.conditioning, person.negative.conditioning
    return people, (tiny.merged(model, state), *texts)


def adapter(width: int):
    """IP-Adapter's kind: an embedding for each side of CFG, told by the rows of the whole batch."""
    embeddings = torch.randn(2, 4, width, generator=torch.Generator().manual_seed(7))

    def replaced(q, k, v, options):
        sides = options["cond_or_uncond"]
        assert len(options["uuids"]) == len(sides) and len(q) % len(sides) == 0
        mine = embeddings[sides].repeat_interleave(len(q) // len(sides), 0)
        assert len(mine) == len(q) == len(k) == len(v)
        out = optimized_attention(q, k, v, options["n_heads"])
        return out + optimized_attention(q, mine, mine, options["n_heads"])

    return replaced


def with_adapter(patcher):
    patcher = patcher.clone()
    patcher.set_model_attn2_replace(adapter(64), "input", 4)
    patcher.set_model_attn2_replace(adapter(128), "middle", 0, 0)
    patcher.set_model_attn2_replace(adapter(32), "output", 5)
    return patcher


LENGTHS = [(77, 77, 77), (77, 231, 77), (154, 77, 231)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_replacement_that_tells_the_sides_apart(model, method, tokens, batch):
    people, (merged, *texts) = one_person(model, method, tokens)
    wanted = tiny.sample(with_adapter(merged), *texts, batch=batch)
    run = build(people)
    ours = tiny.sample(with_adapter(run.model), run.positive, run.negative, batch=batch)
    assert tiny.relative(ours, wanted) < TOLERANCE
    assert tiny.relative(tiny.sample(*run[:3], batch=batch), wanted) > 0.01


def hypernetwork(patcher):
    """Changes keys and values apart, and more so as sampling goes on."""
    generator = torch.Generator().manual_seed(8)
    keys, values = (torch.randn(96, 96, generator=generator) / 10 for _ in range(2))

    def patch(n, context, value, options):
        strength = 1.0 - float(options["sigmas"][0]) / 20
        assert len(context) == len(value) == len(n)
        return n, context + context @ keys * strength, value + value @ values * strength

    patcher = patcher.clone()
    patcher.set_model_attn2_patch(patch)
    return patcher


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_patch_of_keys_and_values(model, method, tokens):
    people, (merged, *texts) = one_person(model, method, tokens)
    wanted = tiny.sample(hypernetwork(merged), *texts)
    run = build(people)
    ours = tiny.sample(hypernetwork(run.model), run.positive, run.negative)
    assert tiny.relative(ours, wanted) < TOLERANCE
    assert tiny.relative(tiny.sample(*run[:3]), wanted) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_an_override_of_every_attention_sees_whole_batches(model, method):
    def override(func, q, k, v, heads, **options):
        sides = options["transformer_options"]["cond_or_uncond"]
        scale = torch.tensor([1.3, 0.8])[sides].repeat_interleave(len(q) // len(sides))
        return func(q, k, v, heads, **options) * scale.view(-1, 1, 1)

    people, (merged, *texts) = one_person(model, method, (77, 154, 77))
    run, results = build(people), []
    for patcher, sides in ((merged, texts), (run.model, run[1:3])):
        patcher.model_options["transformer_options"]["optimized_attention_override"] = override
        results.append(tiny.sample(patcher, *sides))
    assert tiny.relative(results[1], results[0]) < TOLERANCE
