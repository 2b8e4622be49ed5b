"""The isolation window on DiTs: against dense softmaxes under a mask, and as an exact law. Nothing
there reaches from place to place but attention, so that with the window closed no LoRA of one person
changes a number in another's region."""

import dataclasses
import re

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.families import family_of
from ensemble_portraits.ensemble.regional.families.family import Stream
from ensemble_portraits.ensemble.regional.families.joint_attention import Stage
from ensemble_portraits.ensemble.regional.families.transformer import BASE, Grid, Texts, TextSpan
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.joint import attention as joint
from ensemble_portraits.ensemble.regional.joint.tokens import TokenMap
from ensemble_portraits.ensemble.regional.people import TextSees
from ensemble_portraits.ensemble.regional.rows import Span

SIZE = (16, 24)
FULL = Isolation(1.0)


def tokens() -> TokenMap:
    """Two people and a scene over 4 x 6 places and 2 pads; the border is shared, the middle free."""
    columns = torch.tensor([[1, 1, 0.7, 0.3, 0, 0], [0, 0, 0.2, 0.3, 0.9, 1]])
    gates = columns[:, None].expand(2, 4, 6)
    grid = Grid(4, 6, 2)
    weights = torch.cat([0.2 + 0.8 * (1 - gates.sum(0, keepdim=True)).clamp(0), gates])
    spans = tuple(TextSpan(i + BASE, n, n) for i, n in enumerate((5, 3, 7)))
    weights = grid.of(weights)
    return TokenMap(Texts(spans), grid, weights / weights.sum(0), grid.of(gates))


def dense(tokens: TokenMap, q, k, v, isolated: bool) -> torch.Tensor:
    """For every text a softmax over it and the picture, weighted at the picture's tokens."""
    places, size = tokens.grid.rows * tokens.grid.columns, tokens.texts.tokens
    owner = tokens.gates.argmax(0)
    owner[tokens.gates.sum(0) < 0.5] = -1
    owner[places:] = -1
    free = (owner[:, None] == owner[None]) | (owner[:, None] == -1) | (owner[None] == -1)
    total, start = 0, 0
    for length, weight in zip(tokens.texts.lengths, tokens.weights, strict=True):
        mask = torch.zeros(tokens.grid.tokens, size + tokens.grid.tokens, dtype=torch.bool)
        mask[:, start : start + length] = True
        mask[:, size:] = free if isolated else True
        out = torch.nn.functional.scaled_dot_product_attention(q[:, :, size:], k, v, attn_mask=mask)
        total, start = total + out * weight[:, None], start + length
    return total


def run(tokens, q, k, v, strength):
    attention = joint.JointAttention(tokens, TextSees.ALL, isolate=strength, stage=Stage.JOINT)

    def attention_basic(q, k, v, heads, *args, **options):
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return out.transpose(1, 2).flatten(2)

    out = attention.override(attention_basic, q, k, v, 2, skip_reshape=True)
    return out[:, tokens.texts.tokens :].unflatten(2, (2, -1)).transpose(1, 2)


@pytest.mark.parametrize("kernel", [True, False], ids=["log-sum-exp", "split"])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_against_dense_softmaxes(monkeypatch, kernel, strength):
    if not kernel:
        monkeypatch.setattr(joint, "kernel_for", lambda q: None)
    q, k, v = torch.randn(3, 1, 2, 15 + 26, 8, generator=torch.Generator().manual_seed(3))
    usual, isolated = (dense(tokens(), q, k, v, closed) for closed in (False, True))
    assert not torch.allclose(usual, isolated, atol=1e-2)
    out = run(tokens(), q, k, v, strength)
    assert torch.allclose(out, usual.lerp(isolated, strength), atol=1e-5)


def placed(model) -> str:
    """The layers of which a change has a place: all but vectors that reach everything."""
    family = family_of(model)
    names = []
    for name in small.linears(model.model.diffusion_model):
        if re.match(family.unreached, name):
            continue
        (rule,) = family.rules_of(name)
        if rule.stream is not Stream.VECTOR or rule.reach is not None:
            names.append(name)
    return "|".join(f"^{name}$".replace(".", r"\.") for name in names)


@pytest.mark.parametrize(("name", "size"), [
    ("z_image", SIZE), ("lumina2", SIZE), ("krea2", SIZE), ("flux2", (8, 12)), ("chroma", SIZE),
    ("qwen_image", SIZE), ("anima", SIZE), ("sd3", SIZE),
    ("sd35_medium", SIZE),
])  # fmt: skip
def test_nothing_of_one_person_reaches_the_other(name, size):
    family = small.FAMILIES[name]
    model = family.make()
    states = [small.lora(model, 1 + i, layers=placed(model)) for i in range(2)]

    def painted(strengths, isolation):
        people = small.people(
            model, family, states, small.halves(size), base_strength=0.0, strengths=strengths
        )
        run = build(dataclasses.replace(people, isolation=isolation))
        return small.sample(*run[:3], family=family, size=size, steps=2)

    for isolation, leaks in ((FULL, False), (Isolation(1.0, Span(0.0, 0.3)), True)):
        before, after = (painted([0.0, s], isolation) for s in (0.0, 1.0))
        left, right = (after - before).chunk(2, -1)
        assert right.abs().max() > 1e-2
        if leaks:
            assert left.abs().max() > 1e-4 * right.abs().max()
        else:
            assert left.abs().max() < 1e-6 * before.abs().max()


def test_a_picture_with_pads_runs_isolated():
    """Z-Image's pads are nobody's: they see all and are seen, so that a little goes through them."""
    family = small.FAMILIES["z_image"]
    people = small.people(family.make(), family, [{}, {}], small.halves((14, 22)))
    run = build(dataclasses.replace(people, isolation=FULL))
    assert small.sample(*run[:3], family=family, size=(14, 22)).isfinite().all()


def test_zero_is_bit_identical():
    family = small.FAMILIES["krea2"]
    model = family.make()
    people = small.people(model, family, [{}, {}], small.halves(SIZE, 0.2))
    open_, never = (
        small.sample(
            *build(dataclasses.replace(people, isolation=isolation))[:3], family=family, size=SIZE
        )
        for isolation in (Isolation(), Isolation(1.0, Span(0.97, 0.98)))
    )
    assert torch.equal(open_, never)
    assert tiny.relative(open_, small.sample(
        *build(dataclasses.replace(people, isolation=FULL))[:3], family=family, size=SIZE
    )) > 1e-4  # fmt: skip
