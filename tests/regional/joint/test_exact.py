"""method = exact on DiTs, against core's own hooks and masks."""

import dataclasses

import comfy.supported_models
import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build, prepare
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-5


def sd3():
    """SD3.5's class, which calls no wrapper of its own (`comfy/ldm/modules/diffusionmodules/mmdit.py`)."""
    return small.direct(comfy.supported_models.SD3, {
        "in_channels": 16, "pos_embed_scaling_factor": None, "pos_embed_max_size": 32,
        "patch_size": 2, "depth": 2, "num_patches": 1024, "adm_in_channels": 48,
        "context_embedder_config": {
            "target": "torch.nn.Linear", "params": {"in_features": 40, "out_features": 128},
        },
        "qk_norm": "rms", "x_block_self_attn_layers": [],
    })  # fmt: skip


SD3 = small.Small(sd3, 40, pooled=48)
FAMILIES = {**small.FAMILIES, "sd3": SD3}


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_is_core_hooks_with_texts_of_any_length(name):
    """Texts are not repeated to a common length: joint attention would count them twice."""
    family = FAMILIES[name]
    model = family.make()
    states = [small.lora(model, 1 + i) for i in range(2)]
    masks = small.halves((16, 24), 0.2)
    people = small.people(model, family, states, masks, method=Method.EXACT, tokens=(20, 40, 20))
    size = family.sizes[0]
    reference = small.sample(*tiny.core_hooks(people, states), family=family, size=size, steps=1)
    none = small.sample(*tiny.core_hooks(people, [{}, {}]), family=family, size=size, steps=1)
    assert tiny.relative(none, reference) > 0.05  # the LoRAs matter
    out = small.sample(*build(people)[:3], family=family, size=size, steps=1)
    assert tiny.relative(out, reference) < TOLERANCE
    assert not small.touched(model)


def test_a_class_that_fused_does_not_know_gets_exact_with_a_note():
    model = SD3.make()
    people = small.people(model, SD3, [{}], torch.ones(1, 8, 8), tokens=(20, 13))
    ready = prepare(dataclasses.replace(people, method=Method.FUSED))
    assert ready.method is Method.EXACT
    assert ready.notes == (
        "SD3 is not a model that method = fused knows, so method = exact is used.",
    )
