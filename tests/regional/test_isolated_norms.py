"""Norms by region, by closed formulas and by torch's own norm of a part of the picture."""

import dataclasses

import comfy.ops
import pytest
import tiny
import torch
import torch.nn.functional as F
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.isolated_norms import IsolatedNorms, is_untouched
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.kinds.forms import NORMALISED
from ensemble_portraits.ensemble.regional.region_gate import RegionGate
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds_of_files import file_of

GROUPS, EPS = 4, 1e-5


def normalised(x, masks, strength=1.0, ours=None, layer=None):
    layer = layer or norm(x.shape[1])
    gate = RegionGate(masks, {}, ours)
    _, name, forward = next(IsolatedNorms(gate).replacements(layer, strength))
    assert name == "forward"
    return forward(x)


def norm(channels: int, kind=torch.nn.GroupNorm):
    layer = kind(GROUPS, channels, eps=EPS)
    generator = torch.Generator().manual_seed(9)
    layer.weight.data = torch.randn(channels, generator=generator)
    layer.bias.data = torch.randn(channels, generator=generator)
    return layer


def pictures(seed=1, batch=2, channels=8, height=8, width=12):
    """With another mean and spread in each channel, and in each half."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, height, width, generator=generator)
    x = x * (1 + torch.arange(channels)[:, None, None]) + torch.arange(channels)[:, None, None]
    return x * torch.linspace(0.5, 3, width)


def test_halves_are_each_a_picture_of_their_own():
    x, layer = pictures(), norm(8)
    made = normalised(x, tiny.columns(2, 8, 12))
    for half in (slice(0, 6), slice(6, 12)):
        alone = F.group_norm(x[..., half], GROUPS, layer.weight, layer.bias, EPS)
        assert torch.allclose(made[..., half], alone, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_soft_masks_blend_the_statistics_of_what_everybody_sees(seed, people):
    x, layer = pictures(seed).double(), norm(8)
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(people + 1, 8, 12, generator=generator).softmax(0)[1:]
    own, nobodys = masks.double(), 1 - masks.double().sum(0)
    grouped = x.unflatten(1, (GROUPS, -1))
    wanted = nobodys * F.group_norm(x, GROUPS, eps=EPS)
    for weight in own:
        seen = (weight + nobodys) / (weight + nobodys).sum()
        mean = (grouped * seen).mean(2, keepdim=True).sum((3, 4), keepdim=True)
        variance = ((grouped - mean) ** 2 * seen).mean(2, keepdim=True).sum((3, 4), keepdim=True)
        wanted += weight * ((grouped - mean) / (variance + EPS).sqrt()).flatten(1, 2)
    wanted = wanted * layer.weight[:, None, None] + layer.bias[:, None, None]
    assert torch.allclose(normalised(x.float(), masks).double(), wanted, atol=1e-4)


def test_the_eps_is_that_of_the_layer_even_where_nothing_varies():
    x = pictures() * 1e-3  # variances of about eps
    layer = norm(8)
    alone = F.group_norm(x[..., :6], GROUPS, layer.weight, layer.bias, EPS)
    assert torch.allclose(normalised(x, tiny.columns(2, 8, 12))[..., :6], alone, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_a_flat_region_is_no_division_by_zero(dtype, size):
    """One half varies, the other is of one value, and its norm is the bias alone."""
    x, layer = pictures() * size, norm(8).to(dtype)
    x[..., :6] = 3 * size
    made = normalised(x.to(dtype), tiny.columns(2, 8, 12), layer=layer)
    assert made.isfinite().all()
    bias = layer.bias[:, None, None].expand_as(made[..., :6])
    assert torch.allclose(made[..., :6].float(), bias.float(), atol=0.01)


def test_the_strength_goes_in_a_line():
    x, masks = pictures(), tiny.columns(2, 8, 12)
    none, half, full = (normalised(x, masks, s) for s in (0.0, 0.5, 1.0))
    layer = norm(8)
    assert torch.allclose(none, F.group_norm(x, GROUPS, layer.weight, layer.bias, EPS), atol=1e-5)
    assert tiny.relative(full, none) > 0.05
    assert torch.allclose(half, (none + full) / 2, atol=1e-5)


def test_rows_of_others_and_people_without_a_place():
    x, layer = pictures(), norm(8)
    usual = F.group_norm(x, GROUPS, layer.weight, layer.bias, EPS)
    made = normalised(x, tiny.columns(2, 8, 12), ours=torch.tensor([1.0, 0.0]))
    assert torch.allclose(made[1], usual[1], atol=1e-5)
    assert tiny.relative(made[0], usual[0]) > 0.05
    alone = torch.stack([torch.ones(8, 12), torch.zeros(8, 12)])
    assert torch.equal(normalised(x, alone), layer(x))  # nobody to be kept from


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_weights_that_core_casts(dtype):
    layer = norm(8, comfy.ops.manual_cast.GroupNorm).to(dtype)
    x, masks = pictures() * 300, tiny.columns(2, 8, 12)  # squares are beyond float16
    made = normalised(x.to(dtype), masks, layer=layer)
    assert made.dtype == dtype
    exact = normalised(x.to(dtype).float(), masks, layer=layer)
    assert tiny.relative(made.float(), exact) < 0.005  # one rounding of the result
    last = x.to(memory_format=torch.channels_last)
    assert torch.allclose(normalised(last, masks), normalised(x, masks), atol=1e-4)


def test_a_lora_of_norms_acts_on_isolated_norms():
    """Everybody has the same one, so that the model with it in its weights is the truth."""
    model = tiny.model(tiny.DEEP)
    state = file_of(model, "diff", r"(in_layers\.0|\.norm)\.weight$")
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, state), 1.0)

    def sampled(patcher, strength: float):
        people = tiny.people(
            patcher, [state] * 2, tiny.columns(2), strengths=[strength] * 2, base_strength=0.0
        )
        return tiny.sample(*build(dataclasses.replace(people, isolation=Isolation(1.0)))[:3])

    truth = sampled(merged, 0.0)
    assert tiny.relative(sampled(model, 0.0), truth) > 0.02
    assert tiny.relative(sampled(model, 1.0), truth) < 1e-4


def test_a_class_of_norms_that_somebody_else_patched_stays_theirs(monkeypatch):
    """As packs of moving pictures do, whose norms are over all frames."""
    layer = norm(8, comfy.ops.manual_cast.GroupNorm)
    assert is_untouched(layer) and is_untouched(norm(8))
    monkeypatch.setattr(comfy.ops.disable_weight_init.GroupNorm, "forward", lambda self, x: x)
    assert not is_untouched(layer) and is_untouched(norm(8))


def test_layers_that_cast_by_themselves_are_asked():
    layer = norm(8, comfy.ops.manual_cast.GroupNorm)
    layer.cast_bias_weight = lambda x: (layer.weight.to(x) * 2, layer.bias.to(x))
    x, masks = pictures(), tiny.columns(2, 8, 12)
    twice = norm(8)
    twice.weight.data *= 2
    assert torch.allclose(
        normalised(x, masks, layer=layer), normalised(x, masks, layer=twice), atol=1e-5
    )


def test_norms_that_somebody_else_replaced_stay_theirs():
    model = tiny.model()
    norms = [m for m in model.model.diffusion_model.modules() if isinstance(m, torch.nn.GroupNorm)]
    calls = []

    def theirs(x):
        calls.append(1)
        return type(norms[0]).forward(norms[0], x)

    norms[0].forward = theirs
    people = tiny.people(model, [tiny.lora(model, 1), tiny.lora(model, 2)], tiny.columns(2))
    tiny.sample(*build(dataclasses.replace(people, isolation=Isolation(1.0)))[:3])
    assert calls and norms[0].forward is theirs
    assert all(not {"forward", NORMALISED} & norm.__dict__.keys() for norm in norms[1:])
