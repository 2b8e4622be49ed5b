"""Models in other weight types, or loaded in part."""

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-4
METHODS = list(Method)


@pytest.fixture
def model():
    return tiny.model()


@pytest.fixture
def states(model):
    return [tiny.lora(model, 1 + i) for i in range(2)]


def wrapped(model) -> list:
    return [m for m in model.model.modules() if "forward" in m.__dict__]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("method", METHODS)
def test_other_weight_types(states, method, dtype):
    """The model's weights in another type, its arithmetic in float32: the same numbers as a float32
    model that holds the rounded weights. Adapters are never in float8."""
    low = tiny.model(dtype=dtype)
    same = tiny.model()
    same.model.load_state_dict({k: v.float() for k, v in low.model.state_dict().items()})
    results = []
    for patcher in (low, same):
        people = tiny.people(patcher, states, tiny.columns(2), method=method)
        results.append(tiny.sample(*build(people)[:3]))
    assert tiny.relative(results[0], results[1]) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_is_loaded_in_part(model, states, method, monkeypatch):
    """Low VRAM: most weights are cast, and others' LoRAs merged, only while a layer runs; adapters
    that do not fit stay behind, too."""
    people = tiny.people(model, states, tiny.columns(2), method=method)
    people.model.add_patches(tiny.parsed(model, tiny.lora(model, 9)), 0.5)
    comfy.model_management.unload_all_models()
    whole = tiny.sample(*build(people)[:3])
    comfy.model_management.unload_all_models()
    load, parts = ModelPatcher.load, []

    def in_part(self, device_to=None, lowvram_model_memory=0, full_load=True, **more):
        load(self, device_to, self.model_size() // 3, full_load=False, **more)
        parts.append(self.lowvram_patch_counter())

    monkeypatch.setattr(ModelPatcher, "load", in_part)
    part = tiny.sample(*build(people)[:3])
    comfy.model_management.unload_all_models()
    assert max(parts) > 0
    assert tiny.relative(part, whole) < TOLERANCE
    assert not wrapped(model)
