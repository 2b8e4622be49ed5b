"""Patches, hooks and ControlNets of others beside ours: the same as on a plain LoRA graph."""

import dataclasses
import random

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.supported_models
import pytest
import tiny
import torch
from comfy.ldm.modules.attention import optimized_attention
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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [False, True])
def test_attention_replacements_of_others_take_part(model, states, method, after):
    """IPAdapter's way: attn2 replaced, its own term added to the result; set before or after us."""

    def with_image(q, k, v, options):
        return optimized_attention(q, k, v, options["n_heads"]) + 0.3 * q

    def add(patcher):
        patcher.set_model_attn2_replace(with_image, "input", 1)
        patcher.set_model_attn2_replace(with_image, "middle", 0, 0)

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)
    add(reference)
    person = people.people[0]
    wanted = tiny.sample(reference, person.positive.conditioning, person.negative.conditioning)
    if not after:
        add(people.model)
    run = build(people)
    if after:
        add(run.model)
    assert tiny.relative(tiny.sample(*run[:3]), wanted) < TOLERANCE


def test_tiled_tokens_are_refused_by_fused_and_right_in_exact(model, states):
    """HyperTile: a quarter of the picture per row, as many tokens as there are one level down."""
    from comfy_extras.nodes_hypertile import HyperTile

    def tiled(patcher):
        random.seed(0)
        return HyperTile.execute(patcher, 64, 1, 0, False)[0]

    size = {"size": (16, 16)}
    one = {"base_strength": 0.0, "method": Method.EXACT}
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), **one)
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, states[0]), 1.0)
    texts = (person.positive.conditioning, person.negative.conditioning)
    wanted = tiny.sample(tiled(merged), *texts, **size)
    assert tiny.relative(tiny.sample(merged, *texts, **size), wanted) > 0.01
    run = build(people)
    ours = tiny.sample(tiled(run.model), run.positive, run.negative, **size)
    assert tiny.relative(ours, wanted) < TOLERANCE
    fused = build(dataclasses.replace(people, method=Method.FUSED))
    with pytest.raises(RuntimeError, match="method = exact"):
        tiny.sample(tiled(fused.model), fused.positive, fused.negative, **size)
    assert not wrapped(model)


@pytest.mark.parametrize("method", METHODS)
def test_another_size_inside_the_model(model, states, method):
    """Deep shrink: levels of sizes that halving the latent does not give."""
    from comfy_extras.nodes_model_downscale import PatchModelAddDownscale

    def shrunk(patcher):
        settings = (1, 1.5, 0.0, 1.0, True, "bicubic", "bicubic")
        return PatchModelAddDownscale.execute(patcher, *settings)[0]

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, states[0]), 1.0)
    texts = (person.positive.conditioning, person.negative.conditioning)
    wanted = tiny.sample(shrunk(merged), *texts)
    assert tiny.relative(tiny.sample(merged, *texts), wanted) > 0.01
    run = build(people)
    ours = tiny.sample(shrunk(run.model), run.positive, run.negative)
    assert tiny.relative(ours, wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_forward_that_others_replaced_takes_part_and_stays(model, states, method):
    """Core's bypass LoRAs and many custom nodes set `forward` on a layer of the model."""
    layer = model.model.diffusion_model.get_submodule("input_blocks.1.1.proj_in")
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = tiny.sample(*build(people)[:3])
    original, calls = layer.forward, []

    def theirs(x):
        calls.append(1)
        return original(x) * 1.1

    layer.forward = theirs
    changed = tiny.sample(*build(people)[:3])
    assert layer.forward is theirs and len(calls) == 3
    assert tiny.relative(changed, plain) > 1e-3
    del layer.forward
    assert torch.equal(tiny.sample(*build(people)[:3]), plain)


@pytest.mark.parametrize("method", METHODS)
def test_loras_of_others_before_and_after_ours(model, states, method):
    other = tiny.parsed(model, tiny.lora(model, 9))
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)
    reference.add_patches(other, 0.5)
    wanted = tiny.sample(reference, person.positive.conditioning, person.negative.conditioning)
    after = build(people)
    after.model.add_patches(other, 0.5)
    assert tiny.relative(tiny.sample(*after[:3]), wanted) < TOLERANCE
    people.model.add_patches(other, 0.5)
    assert tiny.relative(tiny.sample(*build(people)[:3]), wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_hook_of_others_on_our_conditioning(model, states, method):
    """A LoRA hook that another node sets on all our entries acts as it would on a plain model."""
    hook = comfy.hooks.create_hook_lora(
        lora=tiny.lora(model, 9), strength_model=0.5, strength_clip=0
    )
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)

    def hooked(conditioning):
        return [[c, {**v, "hooks": hook}] for c, v in conditioning]

    wanted = tiny.sample(
        reference, hooked(person.positive.conditioning), hooked(person.negative.conditioning)
    )
    run = build(people)
    ours = tiny.sample(run.model, hooked(run.positive), hooked(run.negative))
    assert tiny.relative(ours, wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_hook_whose_strength_changes_in_the_run(model, states, method):
    """Keyframes rewrite the layers that made the people's K and V."""

    def hooked(conditioning, hook):
        return [[c, {**v, "hooks": hook}] for c, v in conditioning]

    def hook():
        keyframes = comfy.hooks.HookKeyframeGroup()
        keyframes.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
        keyframes.add(comfy.hooks.HookKeyframe(strength=-1.0, start_percent=0.5))
        group = comfy.hooks.create_hook_lora(tiny.lora(model, 9), 1.0, 0.0)
        group.set_keyframes_on_hooks(keyframes)
        return group

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, states[0]), 1.0)
    texts = (person.positive.conditioning, person.negative.conditioning)
    run, results = build(people), []
    for patcher, sides in ((merged, texts), (run.model, run[1:3])):
        group = hook()
        results.append(tiny.sample(patcher, *(hooked(side, group) for side in sides), steps=4))
    assert tiny.relative(results[1], results[0]) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_controlnet(model, states, method):
    """One person everywhere with a ControlNet on our conditioning, against core with the merged LoRA.
    The base's and the person's text are equal here: fused shows the ControlNet the base's."""
    control, generator = tiny.control(), torch.Generator().manual_seed(4)
    hint = torch.rand(1, 3, 64, 96, generator=generator)

    def controlled(conditioning):
        own = control.copy().set_cond_hint(hint, 0.9)
        return [
            [c, {**v, "control": own, "control_apply_to_uncond": False}] for c, v in conditioning
        ]

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    people = dataclasses.replace(people, base=person.positive, negative=person.negative)
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)
    plain = tiny.sample(reference, person.positive.conditioning, person.negative.conditioning)
    wanted = tiny.sample(
        reference,
        controlled(person.positive.conditioning),
        controlled(person.negative.conditioning),
    )
    assert tiny.relative(plain, wanted) > 0.01
    run = build(people)
    ours = tiny.sample(run.model, controlled(run.positive), controlled(run.negative))
    assert tiny.relative(ours, wanted) < TOLERANCE
