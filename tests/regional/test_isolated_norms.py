"""Norms by region, by closed formulas and by torch's own norm of a part of the picture."""

import comfy.ops
import pytest
import tiny
import torch
import torch.nn.functional as F
from ensemble_portraits.ensemble.regional.isolated_norms import IsolatedNorms
from ensemble_portraits.ensemble.regional.region_gate import RegionGate
from hypothesis import given, settings
from hypothesis import strategies as st

GROUPS, EPS = 4, 1e-5


def normalised(x, masks, strength=1.0, ours=None, layer=None):
    layer = layer or norm(x.shape[1])
    gate = RegionGate(masks, {}, ours)
    return IsolatedNorms(gate).replacement(layer, strength)(x)


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
    assert tiny.relative(made.float(), exact) < 0.01
    last = x.to(memory_format=torch.channels_last)
    assert torch.allclose(normalised(last, masks), normalised(x, masks), atol=1e-4)
