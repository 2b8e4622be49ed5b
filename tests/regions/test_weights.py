import torch
from ensemble_portraits.ensemble.regions.layout import Layout, lay_out
from ensemble_portraits.ensemble.regions.weights import adapter_gates, reduce_to, region_weights
from hypothesis import given
from hypothesis import strategies as st


def masks(seed: int, people: int, height: int = 9, width: int = 11) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    hard = torch.rand(people, height, width, generator=generator) > 0.5
    return hard * torch.rand(people, height, width, generator=generator)


@given(st.integers(0, 999), st.integers(1, 6), st.floats(0, 1))
def test_weights_sum_to_one_and_follow_the_formula(seed, people, base):
    m = masks(seed, people)
    weights = region_weights(m, base)
    alone = 1 - (1 - base) * m.sum(0).clamp(max=1)
    whole = alone + m.sum(0)
    assert torch.allclose(weights[0] * whole, alone, atol=1e-6)
    assert torch.allclose(weights[1:] * whole, m, atol=1e-6)
    covered = whole > 1e-6
    assert torch.allclose(weights.sum(0)[covered], torch.ones(int(covered.sum())), atol=1e-5)


def test_where_nobody_is_the_base_is_all():
    weights = region_weights(torch.zeros(2, 4, 4), 0.2)
    assert torch.equal(weights[0], torch.ones(4, 4)) and not weights[1:].any()


def test_gates_are_the_mask_where_alone_and_shares_where_not():
    m = torch.tensor([[[1.0, 0.5, 1.0]], [[0.0, 0.0, 1.0]]])
    assert torch.equal(adapter_gates(m), torch.tensor([[[1, 0.5, 0.5]], [[0, 0, 0.5]]]))


@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 12))
def test_reducing_keeps_means_and_sums(seed, height, width):
    weights = region_weights(masks(seed, 3), 0.2)
    small = reduce_to(weights, height, width)
    assert small.shape == (4, height, width)
    assert torch.allclose(small.sum(0), torch.ones(height, width), atol=1e-5)
    exact = reduce_to(weights, 3, 11)  # an even division: plain block means
    assert torch.allclose(exact, weights.reshape(4, 3, 3, 11).mean(2), atol=1e-6)


@given(st.integers(1, 12), st.sampled_from(list(Layout)), st.floats(0, 0.5))
def test_layouts_cover_everything_once(people, layout, feather):
    strips = lay_out(people, layout, feather)
    assert torch.allclose(strips.sum(0), torch.ones_like(strips[0]), atol=1e-5)
    assert (strips >= 0).all() and (strips <= 1).all()
    line = strips[:, 0, :] if layout is Layout.COLUMNS else strips[:, :, 0]
    centres = ((torch.arange(people) + 0.5) / people * line.shape[1]).long()
    assert torch.equal(line[:, centres].argmax(0), torch.arange(people))
    shares = line.mean(1)
    assert torch.allclose(shares, torch.full_like(shares, 1 / people), atol=0.01)


def test_the_ramp_is_as_wide_as_asked():
    line = lay_out(2, Layout.COLUMNS, 0.25)[0, 0]
    soft = ((line > 0) & (line < 1)).float().mean()
    assert abs(float(soft) - 0.25) < 0.01
    hard = lay_out(2, Layout.COLUMNS, 0.0)[0, 0]
    assert set(hard.tolist()) == {0.0, 1.0}
