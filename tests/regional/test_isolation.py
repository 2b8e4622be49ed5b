"""The isolation window: people's places do not look at each other's, by closed formulas."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.isolation import (
    IsolatedSelfAttention,
    Isolation,
    by_share,
    shares_of,
)
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.rows import Span
from hypothesis import given, settings
from hypothesis import strategies as st

FULL = Isolation(1.0)


@pytest.fixture(scope="module")
def model():
    return tiny.model(tiny.DEEP)


def attend(q, k, v):
    return (torch.nn.functional.scaled_dot_product_attention(q, k, v),)


def seen(gates: torch.Tensor) -> torch.Tensor:
    """`[T,T]`: who may look at whom, in the issue's words: not one person at another."""
    owner = gates.argmax(0)
    owner[gates.sum(0) < 0.5] = -1
    return (owner[:, None] == owner[None]) | (owner[:, None] == -1) | (owner[None] == -1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(6, 40))
def test_shares_are_attention_under_the_dense_mask(seed, people, tokens):
    generator = torch.Generator().manual_seed(seed)
    gates = torch.rand(people + 1, tokens, generator=generator).softmax(0)[1:] ** 2 * 2
    q, k, v = torch.randn(3, 1, 2, tokens, 8, generator=generator)
    dense = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen(gates))
    shares = shares_of(gates)
    out = by_share(attend, q, k, v, shares, 2)[0] if shares else attend(q, k, v)[0]
    assert torch.allclose(out, dense, atol=1e-5)


def test_every_token_asks_once_and_one_person_alone_is_not_isolated():
    gates = torch.tensor([[1.0, 0.6, 0.2, 0.0, 0.0], [0.0, 0.4, 0.2, 0.0, 1.0]])
    shares = shares_of(gates)
    asked = torch.cat([share.queries for share in shares]).sort().values
    assert asked.tolist() == [0, 1, 2, 3, 4]
    assert shares_of(gates[:1]) == [] and shares_of(gates * torch.tensor([[1.0], [0.0]])) == []


def test_halves_are_each_a_picture_of_their_own():
    """Two people who share all of the picture: each half's self-attention is that of the half."""
    generator = torch.Generator().manual_seed(1)
    q, k, v = torch.randn(3, 2, 8 * 12, 64, generator=generator)
    masks = tiny.columns(2, 8, 12)
    isolated = IsolatedSelfAttention(masks, {96: (8, 12)}, None)
    options = {"n_heads": 4, "activations_shape": (2, 64, 8, 12)}
    out = isolated.replacement(1.0)(q, k, v, options).unflatten(1, (8, 12))

    def heads(t):
        return t.unflatten(2, (4, 16)).transpose(1, 2)

    for half in (slice(0, 6), slice(6, 12)):
        own = (t.unflatten(1, (8, 12))[:, :, half].flatten(1, 2) for t in (q, k, v))
        alone = torch.nn.functional.scaled_dot_product_attention(*map(heads, own))
        alone = alone.transpose(1, 2).flatten(2).unflatten(1, (8, 6))
        assert torch.allclose(out[:, :, half], alone, atol=1e-5)


def test_the_strength_goes_in_a_line_from_usual_to_isolated():
    generator = torch.Generator().manual_seed(1)
    q, k, v = torch.randn(3, 1, 96, 64, generator=generator)
    isolated = IsolatedSelfAttention(tiny.columns(2, 8, 12), {96: (8, 12)}, None)
    options = {"n_heads": 4, "activations_shape": (1, 64, 8, 12)}
    none, half, full = (isolated.replacement(s)(q, k, v, options) for s in (0.0, 0.5, 1.0))
    assert not torch.allclose(none, full, atol=1e-3)
    assert torch.allclose(half, (none + full) / 2, atol=1e-6)


def scene(model, isolation=None, **more):
    people = tiny.people(
        model, [tiny.lora(model, 1), tiny.lora(model, 2)], tiny.columns(2, 64, 96), **more
    )
    return people if isolation is None else dataclasses.replace(people, isolation=isolation)


def sample(people, **more):
    return tiny.sample(*build(people)[:3], steps=4, **more)


def test_nothing_isolated_is_bit_identical(model):
    assert torch.equal(sample(scene(model)), sample(scene(model, Isolation(0.0, Span(0.2, 0.7)))))


def test_a_window_outside_of_sampling_and_one_over_all_of_it(model):
    never = sample(scene(model, Isolation(1.0, Span(0.98, 0.99))))
    always = sample(scene(model, FULL))
    early = sample(scene(model, Isolation(1.0, Span(0.0, 0.5))))
    assert torch.equal(never, sample(scene(model)))
    assert tiny.relative(always, never) > 1e-3
    assert tiny.relative(early, never) > 1e-3 and tiny.relative(early, always) > 1e-3


def test_a_batch_is_its_singles_and_strangers_rows_stay(model):
    people = scene(model, FULL)
    two = sample(people, batch=2)
    one = sample(people, batch=1)
    assert tiny.relative(two[:1], one) < 1e-4


def effects(people, model, states):
    """`[2,2]`: the effect of person i's LoRA in half j, in parts of that in its own."""

    def run(strengths):
        members = tuple(
            dataclasses.replace(p, patches=tiny.person_patches(model, state, strength))
            for p, state, strength in zip(people.people, states, strengths, strict=True)
        )
        return sample(dataclasses.replace(people, people=members))

    before = run([0.0, 0.0])
    out = torch.zeros(2, 2)
    for i in range(2):
        change = run([float(i == j) for j in range(2)]) - before
        halves = change.chunk(2, -1)
        out[i] = torch.tensor([float(half.pow(2).mean().sqrt()) for half in halves])
    return out / out.diag()[:, None]


def test_attention_loras_leak_less_when_isolated(model):
    states = [
        tiny.lora(model, 1, layers=r"attn1.*weight"),
        tiny.lora(model, 2, layers=r"attn1.*weight"),
    ]
    open_, closed = (
        effects(scene(model, isolation), model, states) for isolation in (Isolation(), FULL)
    )
    # The rest goes by convolutions and norms: benchmarks/leak_paths.py has the shares.
    assert closed[0, 1] + closed[1, 0] < 0.9 * (open_[0, 1] + open_[1, 0])


def test_exact_says_that_there_is_nothing_to_isolate(model):
    people = scene(model, FULL, method=Method.EXACT)
    run = build(people)
    assert any("isolate" in note for note in run.notes)
    assert torch.equal(sample(people), sample(scene(model, method=Method.EXACT)))


def test_a_block_that_others_replace_stays_theirs(model):
    """PAG and the like: their replacement of self-attention is called as without isolation."""
    calls = []

    def theirs(q, k, v, options):
        calls.append(q.shape)
        return v

    run = build(scene(model, FULL))
    run.model.set_model_attn1_replace(theirs, "middle", 0)
    tiny.sample(*run[:3], steps=1)
    assert calls
