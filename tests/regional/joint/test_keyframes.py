"""Core's LoRA hooks with keyframes change the layers that made what is kept for a run: it is made anew."""

import dataclasses

import comfy.hooks
import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import TextSees

TOLERANCE = 1e-5
SIZE = (8, 12)
# Where the family makes what could be kept of a text.
LAYERS = {
    "anima": r"cross_attn\.[kv]_proj", "krea2": r"^(txtfusion|txtmlp)",
    "z_image": r"^context_refiner", "lumina2": r"^context_refiner",
}  # fmt: skip


def hooked(conditioning: list, group) -> list:
    return [[context, {**values, "hooks": group}] for context, values in conditioning]


def turning(state: dict):
    """A hook that has the LoRA at 1 in the first half of sampling and at -1 in the second."""
    keyframes = comfy.hooks.HookKeyframeGroup()
    keyframes.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
    keyframes.add(comfy.hooks.HookKeyframe(strength=-1.0, start_percent=0.5))
    group = comfy.hooks.create_hook_lora(state, 1.0, 0.0)
    group.set_keyframes_on_hooks(keyframes)
    return group


def beside_their_scene(name, state: dict):
    """A person whose words the scene says too, so that both texts are at work everywhere and yet the
    picture is that of one."""
    family = small.FAMILIES[name]
    model = family.make()
    person = small.person(model, family, state, torch.ones(SIZE), 0, 20)
    people = small.people(
        model, family, [state], torch.ones(1, *SIZE), base_strength=0.5, text_sees=TextSees.ALL
    )
    return family, model, dataclasses.replace(
        people, base=person.positive, negative=person.negative, people=(person,)
    )  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_hook_with_keyframes_acts_at_every_step(name):
    family, model, people = beside_their_scene(name, {})
    other = small.lora(model, 9, layers=LAYERS[name])
    texts = people.base.conditioning, people.negative.conditioning
    run, results = build(people), []
    for patcher, sides in ((model, texts), (run.model, run[1:3])):
        for group in (turning(other), comfy.hooks.create_hook_lora(other, 1.0, 0.0)):
            here = (hooked(side, group) for side in sides)
            results.append(small.sample(patcher.clone(), *here, family=family, size=SIZE, steps=4))
    wanted, steady, ours, ours_steady = results
    assert tiny.relative(steady, wanted) > 100 * TOLERANCE
    assert tiny.relative(ours, wanted) < TOLERANCE
    assert tiny.relative(ours_steady, steady) < TOLERANCE


def test_a_patch_of_cross_attention_acts_at_every_step():
    """Core's attn2_patch on Anima, by the step that it is given."""
    family, model, people = beside_their_scene("anima", {})

    def louder(q, k, v, pe=None, attn_mask=None, extra_options=None):
        return {"v": v * (1 + extra_options["sigmas"][0])}

    run, results = build(people), []
    for patcher, sides in ((model, (people.base.conditioning,) * 2), (run.model, run[1:3])):
        patched = patcher.clone()
        patched.set_model_attn2_patch(louder)
        results.append(small.sample(patched, *sides, family=family, size=SIZE, steps=4))
    assert tiny.relative(results[1], results[0]) < TOLERANCE
