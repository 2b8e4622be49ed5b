"""LoRA formats in both methods, against core's own merging of the same patches."""

import dataclasses
import math
import re

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.core import WeightPatch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.factors import NotLowRankError, factorise
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-4


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model():
    return tiny.model()


def state(model, kind: str, layers: str = tiny.ATTENTION) -> dict:
    """A file of that format for the layers that match."""
    generator = torch.Generator().manual_seed(4)

    def normal(*shape, size=1.0):
        return torch.randn(*shape, generator=generator) * size

    out = {}
    for name, weight in model.model.diffusion_model.named_parameters():
        if not re.search(layers, name):
            continue
        base, rows, columns = f"diffusion_model.{name[:-7]}", weight.shape[0], weight[0].numel()
        scale = 1 / math.sqrt(columns)
        if kind == "loha":
            for part in ("w1", "w2"):
                out[f"{base}.hada_{part}_a"] = normal(rows, 3)
                out[f"{base}.hada_{part}_b"] = normal(3, columns, size=math.sqrt(scale) / 3)
        elif kind == "lokr":
            out[f"{base}.lokr_w1"] = normal(4, 4)
            right = normal(rows // 4, weight.shape[1] // 4, *weight.shape[2:], size=scale)
            low = torch.linalg.svd(right.flatten(1), full_matrices=False)
            right = (low.U[:, :2] * low.S[:2] @ low.Vh[:2]).reshape(right.shape)
            out[f"{base}.lokr_w2"] = right
        elif kind == "tucker":
            out[f"{base}.lora_down.weight"] = normal(3, weight.shape[1], 1, 1, size=scale)
            out[f"{base}.lora_mid.weight"] = normal(3, 3, *weight.shape[2:], size=0.5)
            out[f"{base}.lora_up.weight"] = normal(rows, 3, 1, 1)
        elif kind == "diff":
            out[f"{base}.diff"] = normal(*weight.shape, size=scale)
        elif kind == "bias":
            out[f"{base}.diff_b"] = normal(rows, size=0.1)
        elif kind == "set":
            out[f"{base}.set_weight"] = weight + normal(*weight.shape, size=scale / 2)
        elif kind == "set bias":
            out[f"diffusion_model.{name[:-7]}.bias.set_weight"] = normal(rows, size=0.1)
        else:
            out[f"{base}.lora_down.weight"] = normal(3, *weight.shape[1:], size=scale)
            out[f"{base}.lora_up.weight"] = normal(rows, 3, *[1] * (weight.ndim - 2))
            if kind.startswith("dora"):
                side = rows if kind == "dora_out" else weight.shape[1]
                shape = [side, 1] if kind == "dora_out" else [1, side]
                out[f"{base}.dora_scale"] = 1 + normal(*shape, *[1] * (weight.ndim - 2), size=0.1)
    return out


def against_core(model, state, method) -> float:
    people = tiny.people(
        model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method, strengths=[0.8]
    )
    person = people.people[0]
    clone = model.clone()
    clone.add_patches(tiny.parsed(model, state), 0.8)
    reference = tiny.sample(clone, person.positive.conditioning, person.negative.conditioning)
    plain = tiny.sample(model.clone(), person.positive.conditioning, person.negative.conditioning)
    assert tiny.relative(plain, reference) > 0.02
    return tiny.relative(tiny.sample(*build(people)[:3]), reference)


CONVOLUTIONS = r"(in_layers\.2|out_layers\.3|\.op)\.weight$"
BIASED = r"(attn\d\.to_out\.0|ff\.net\.(0\.proj|2)|proj_in|proj_out)\.weight$"


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize(("kind", "layers"), [
    ("lora", tiny.EVERYTHING), ("tucker", CONVOLUTIONS), ("loha", tiny.ATTENTION),
    ("lokr", tiny.ATTENTION), ("dora_out", tiny.EVERYTHING), ("bias", BIASED),
    ("set", tiny.ATTENTION), ("set bias", BIASED),
    ("diff", tiny.EVERYTHING), ("dora_in", tiny.ATTENTION),  # these layers' rank is below the limit
])  # fmt: skip
def test_formats_with_a_product_form(model, kind, layers, method):
    assert against_core(model, state(model, kind, layers), method) < TOLERANCE


def test_changed_norms_are_exact_in_exact_and_refused_in_fused(model):
    tensors = state(model, "diff", r"norm\d?\.weight$")
    assert against_core(model, tensors, Method.EXACT) < TOLERANCE
    people = tiny.people(model, [tensors], torch.ones(1, 64, 96))
    with pytest.raises(NotLowRankError, match=r"Norm layer.*method = exact"):
        build(people)


def product(change: torch.Tensor):
    """A whole difference of a weight, as a product."""
    patch = WeightPatch(1.0, ("diff", (change,)))
    weight = torch.zeros_like(change)
    return factorise(patch, weight.shape, lambda: weight, key="layer")


def test_a_change_of_full_rank_is_refused_in_fused():
    full = torch.randn(400, 400, generator=torch.Generator().manual_seed(1))
    with pytest.raises(NotLowRankError, match=r"rank 128 misses.*method = exact"):
        product(full)


def test_two_people_with_and_without_a_product_form_share_layers_in_exact(model):
    low, dense = tiny.lora(model, 1), state(model, "diff", r"attn1\.to_q\.weight$")
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


def test_a_truncated_product_reports_its_error(model):
    """A change of falling singular values, cut at rank 128: the error is that of the closed form."""
    generator = torch.Generator().manual_seed(1)
    left = torch.linalg.qr(torch.randn(300, 300, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(300, 300, generator=generator)).Q
    values = 0.97 ** torch.arange(300.0)
    factors = product(left * values @ right.T)
    wanted = float(values[128:].norm() / values.norm())
    assert factors.error == pytest.approx(wanted, rel=0.05)


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
