"""LoRAs of known effect stay in their own person's region."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method

PEOPLE, SIZE = 3, (16, 24)


@pytest.fixture(scope="module")
def effects():
    """method -> `[N,N]`: the effect of person i's LoRA in every region, in parts of that in its own.

    Each LoRA adds one random filter of the last features to one latent channel."""
    with torch.no_grad():
        model = tiny.model()
        masks = tiny.columns(PEOPLE, 128, 192)
        states = []
        for person in range(PEOPLE):
            state = tiny.lora(model, 50 + person, rank=1, layers=r"^out\.2\.weight$", size=0.5)
            up = state["diffusion_model.out.2.lora_up.weight"]
            up.zero_()[person] = 1.0
            states.append(state)

        def ours(method):
            return lambda strengths: tiny.sample(
                *build(tiny.people(model, states, masks, strengths=strengths, method=method))[:3],
                size=SIZE, steps=4, cfg=3.0,
            )  # fmt: skip

        def hooks(strengths):
            people = tiny.people(model, states, masks)
            return tiny.sample(
                *tiny.core_hooks(people, states, strengths), size=SIZE, steps=4, cfg=3.0
            )

        def merged(strengths):
            everything = model.clone()
            for state, strength in zip(states, strengths, strict=True):
                everything.add_patches(tiny.parsed(model, state), strength)
            people = tiny.people(model, states, masks, strengths=[0.0] * PEOPLE)
            people = dataclasses.replace(people, model=everything)
            return tiny.sample(*build(people)[:3], size=SIZE, steps=4, cfg=3.0)

        runs = {m.value: ours(m) for m in Method} | {"hooks": hooks, "merged": merged}
        return {name: matrix(run) for name, run in runs.items()}


def matrix(run) -> torch.Tensor:
    before = run([0.0] * PEOPLE)
    width = SIZE[1] // PEOPLE
    out = torch.zeros(PEOPLE, PEOPLE)
    for i in range(PEOPLE):
        change = run([float(i == j) for j in range(PEOPLE)]) - before
        for j in range(PEOPLE):
            # One latent column off each border: the last convolution reaches across it.
            part = change[0, :, :, j * width + 1 : (j + 1) * width - 1]
            out[i, j] = part.pow(2).mean().sqrt()
    return out / out.diag()[:, None]


def elsewhere(effect: torch.Tensor) -> float:
    return float(effect[~torch.eye(PEOPLE, dtype=torch.bool)].mean())


@pytest.mark.long
def test_fused_leaks_no_more_than_hooks_by_half(effects):
    assert elsewhere(effects["fused"]) <= 1.5 * elsewhere(effects["hooks"])


def test_exact_leaks_as_hooks_do(effects):
    assert torch.allclose(effects["exact"], effects["hooks"], atol=1e-3)


def test_a_merged_stack_acts_everywhere(effects):
    """The measure sees leakage where there is some: ten times that of fused, and about all of it."""
    assert elsewhere(effects["merged"]) > 10 * elsewhere(effects["fused"])
    assert 0.7 < elsewhere(effects["merged"]) < 1.3
