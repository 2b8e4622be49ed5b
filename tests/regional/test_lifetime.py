"""Nothing is left behind, whatever happens to a run."""

import dataclasses
import gc

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.supported_models
import pytest
import tiny
import torch
from comfy.patcher_extension import CallbacksMP, WrappersMP
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.patch import KEY, without_regional
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


class StopError(Exception):
    pass


def failing_layers(model) -> list[str]:
    names = [n for n, _ in model.model.diffusion_model.named_modules()]
    return [next(n for n in names if n.endswith(end)) for end in (
        "input_blocks.1.1.proj_in", "middle_block.1.transformer_blocks.0.attn2.to_out.0",
        "output_blocks.3.1.transformer_blocks.0.ff.net.2",
    )]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("call", [0, 3])
def test_a_run_that_fails_inside_a_layer(model, states, method, where, call):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = (people.base.conditioning, people.negative.conditioning)
    before = tiny.sample(model.clone(), *plain)
    layer = model.model.diffusion_model.get_submodule(failing_layers(model)[where])
    calls = []

    def fail(module, args):
        calls.append(1)
        if len(calls) > call:
            raise StopError

    handle = layer.register_forward_pre_hook(fail)
    patcher, positive, negative = build(people)[:3]
    with pytest.raises(StopError):
        tiny.sample(patcher, positive, negative, steps=5)
    handle.remove()
    assert not wrapped(model)
    assert torch.equal(tiny.sample(model.clone(), *plain), before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [0, 1, 3])
def test_an_interrupted_run(model, states, method, step):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = (people.base.conditioning, people.negative.conditioning)
    before = tiny.sample(model.clone(), *plain)
    patcher, positive, negative = build(people)[:3]

    def interrupt(at, *_):
        if at == step:
            comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    latent = torch.zeros(1, 4, 8, 12)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        comfy.sample.sample(
            patcher, torch.randn_like(latent), 5, 7.0, "euler", "normal", positive, negative,
            latent, seed=1, disable_pbar=True, callback=interrupt,
        )  # fmt: skip
    assert not wrapped(model)
    assert torch.equal(tiny.sample(model.clone(), *plain), before)


@pytest.mark.parametrize("method", METHODS)
def test_the_caches_of_a_run_end_with_it(model, states, method):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    run = build(people)
    patch = run.model.wrappers[WrappersMP.CALC_COND_BATCH][KEY][0].__self__
    seen = []
    run.model.add_callback(CallbacksMP.ON_PRE_RUN, lambda p: seen.append(dict(patch.forward.cache)))
    tiny.sample(*run[:3])
    assert patch.forward.cache == {}
    tiny.sample(*run[:3])
    assert seen == [{}, {}]


def tensor_count() -> int:
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("method", METHODS)
def test_no_tensor_outlives_a_run(model, states, method):
    def once():
        people = tiny.people(model, states, tiny.columns(2), method=method)
        tiny.sample(*build(people)[:3])
        comfy.model_management.unload_all_models()

    once()
    before = tensor_count()
    for _ in range(3):
        once()
    assert tensor_count() <= before


@pytest.mark.parametrize("method", METHODS)
def test_regional_and_plain_in_turn_do_not_meet(model, states, method):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = (model.clone(), people.base.conditioning, people.negative.conditioning)
    run = build(people)[:3]
    first = tiny.sample(*run), tiny.sample(*plain)
    second = tiny.sample(*run), tiny.sample(*plain)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_conditioning_of_another_run_is_left_alone(model, states):
    """Our model with plain conditioning, and with that of another regional run: the plain result."""
    people = tiny.people(model, states, tiny.columns(2))
    mine, other = build(people), build(people)
    plain = tiny.sample(model.clone(), people.base.conditioning, people.negative.conditioning)
    mixed = tiny.sample(mine.model, people.base.conditioning, people.negative.conditioning)
    assert torch.equal(mixed, plain)
    assert torch.equal(tiny.sample(mine.model, other.positive, other.negative), plain)


def test_a_patched_model_made_regional_again_is_patched_once(model, states):
    people = tiny.people(model, states, tiny.columns(2))
    again = build(dataclasses.replace(people, model=build(people).model))
    assert torch.equal(tiny.sample(*again[:3]), tiny.sample(*build(people)[:3]))
    assert len(again.model.wrappers[WrappersMP.DIFFUSION_MODEL][KEY]) == 1
    assert KEY not in without_regional(again.model).additional_models


def test_adapters_are_counted_by_memory_management(model, states):
    run = build(tiny.people(model, states, tiny.columns(2)))
    (adapters,) = run.model.get_additional_models_with_key(KEY)
    wanted = sum(t.numel() * 4 for s in states for k, t in s.items() if not k.endswith("alpha"))
    assert adapters.model_size() == wanted


@pytest.mark.parametrize("method", METHODS)
def test_adapters_are_loaded_for_the_run_and_unloaded_after_it(model, states, method):
    run = build(tiny.people(model, states, tiny.columns(2), method=method))
    (adapters,) = run.model.get_additional_models_with_key(KEY)

    def loaded() -> bool:
        return any(m.model is adapters for m in comfy.model_management.current_loaded_models)

    during = []
    run.model.add_callback(CallbacksMP.ON_PRE_RUN, lambda _: during.append(loaded()))
    tiny.sample(*run[:3])
    assert during == [True] and not loaded()
