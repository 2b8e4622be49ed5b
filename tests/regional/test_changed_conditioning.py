"""Nodes that change conditioning after ours do to every person's text what they do to a text of a
graph of its own; texts that change in the run do so for everybody."""

import dataclasses

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method, Text

import nodes

TOLERANCE = 1e-4
METHODS = list(Method)


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def scene(request):
    """One person everywhere, on a deep net and on one that reads pooled vectors."""
    model = tiny.model(tiny.DEEP if request.param == "sd15" else tiny.SDXL)
    state = tiny.lora(model, 1)
    people = tiny.people(
        model, [state], torch.ones(1, 64, 96), base_strength=0.0, tokens=[77, 154], pooled=64
    )
    person = people.people[0]
    person.negative.conditioning[0][0] = tiny.text(21, 77).conditioning[0][0]
    return people, tiny.merged(model, state)


def other() -> list:
    return tiny.text(5, 77, 64).conditioning


CHANGES = {
    "zero": lambda text: nodes.ConditioningZeroOut().zero_out(text)[0],
    "concat": lambda text: nodes.ConditioningConcat().concat(text, other())[0],
    "average": lambda text: nodes.ConditioningAverage().addWeighted(text, other(), 0.6)[0],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_node_that_changes_texts_changes_everybodys(scene, method, change):
    """As LCM and Turbo graphs do, the changed positive is the negative."""
    people, merged = scene
    change = CHANGES[change]
    run = build(dataclasses.replace(people, method=method))
    text = people.people[0].positive.conditioning
    wanted = tiny.sample(merged, text, change(text))
    assert tiny.relative(tiny.sample(run.model, run.positive, change(run.positive)), wanted) < (
        TOLERANCE
    )
    assert tiny.relative(tiny.sample(*run[:3]), wanted) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_positive_and_its_copy_in_one_list(scene, method):
    """Each scene keeps the texts that follow it."""
    people, merged = scene
    run = build(dataclasses.replace(people, method=method))
    text, negative = (
        t.conditioning for t in (people.people[0].positive, people.people[0].negative)
    )
    both = [*run.positive, *CHANGES["zero"](run.positive)]
    wanted = tiny.sample(merged, [*text, *CHANGES["zero"](text)], negative)
    assert tiny.relative(tiny.sample(run.model, both, run.negative), wanted) < TOLERANCE


def test_a_node_that_drops_texts_is_named():
    model = tiny.model()
    people = tiny.people(model, [{}, {}], tiny.columns(2))
    run = build(people)
    with pytest.raises(ValueError, match=r"dropped the text of person 1, 2.*method = exact"):
        tiny.sample(run.model, run.positive[:1], run.negative)


def scheduled(*texts: Text) -> Text:
    """One text after the other, as CLIP gives them where its LoRA hooks have keyframes."""
    entries = []
    for i, text in enumerate(texts):
        ((context, values),) = text.conditioning
        times = {"clip_start_percent": i / len(texts), "clip_end_percent": (i + 1) / len(texts)}
        entries.append([context, {**values, **times}])
    return Text("scheduled", entries)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("config", [tiny.DEEP, tiny.SDXL], ids=["sd15", "sdxl"])
def test_texts_that_change_in_the_run(method, config):
    model = tiny.model(config)
    state = tiny.lora(model, 1)
    people = tiny.people(
        model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method, pooled=64
    )
    first, second = (
        scheduled(*(tiny.text(seed + i, tokens, 64) for i, tokens in enumerate((77, 154))))
        for seed in (30, 40)
    )
    person = dataclasses.replace(people.people[0], positive=first, negative=second)
    base = scheduled(tiny.text(50, 77, 64), tiny.text(51, 77, 64))
    people = dataclasses.replace(people, people=(person,), base=base, negative=base)
    wanted = tiny.sample(
        tiny.merged(model, state), first.conditioning, second.conditioning, steps=5
    )
    assert tiny.relative(tiny.sample(*build(people)[:3], steps=5), wanted) < TOLERANCE
    assert tiny.relative(tiny.sample(tiny.merged(model, state), first.conditioning[:1],
                                     second.conditioning[:1], steps=5), wanted) > 0.01  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_clip_scheduled_by_cores_nodes(method):
    """SetClipHooks with schedule_clip: the encoder's LoRA hook changes strength in the run."""
    import comfy.hooks
    import comfy.sd
    import folder_paths
    from comfy_extras.nodes_hooks import SetClipHooks
    from ensemble_portraits.ensemble.prompt.emphasis import Weights
    from ensemble_portraits.ensemble.regional.compose import compose
    from ensemble_portraits.ensemble.regional.settings import Settings

    path = folder_paths.get_full_path_or_raise("checkpoints", "small_sd15.safetensors")
    clip = comfy.sd.load_checkpoint_guess_config(path, output_vae=False)[1]
    generator = torch.Generator().manual_seed(1)
    name = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    wide = clip.cond_stage_model.state_dict()[
        "clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    ]
    lora = {
        f"{name}.lora_down.weight": torch.randn(4, wide.shape[1], generator=generator) / 8,
        f"{name}.lora_up.weight": torch.randn(wide.shape[0], 4, generator=generator),
    }
    keyframes = comfy.hooks.HookKeyframeGroup()
    for start, strength in ((0.0, 1.0), (0.5, -1.0)):
        keyframes.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    hooks = comfy.hooks.create_hook_lora(lora, 0.0, 1.0)
    hooks.set_keyframes_on_hooks(keyframes)
    clip = SetClipHooks().apply_hooks(clip, True, True, hooks)[0]
    model = tiny.model({**tiny.SD15, "context_dim": 768})
    people = compose(
        model, clip, text="BREAK BREAK a woman", negative="blurry",
        settings=Settings(method=method, base_strength=0.0, weights=Weights.COMFY),
        regions=torch.ones(1, 64, 96),
    )  # fmt: skip
    texts = [nodes.CLIPTextEncode().encode(clip, text)[0] for text in ("a woman", "blurry")]
    assert len(texts[0]) == 2
    wanted = tiny.sample(model.clone(), *texts, steps=5)
    assert tiny.relative(tiny.sample(*build(people)[:3], steps=5), wanted) < TOLERANCE
