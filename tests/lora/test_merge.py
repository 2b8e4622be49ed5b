"""MultiLoraLoader's work against a chain of core LoraLoaders, in float32."""

import json

import comfy.lora
import comfy.sample
import pytest
import torch
from ensemble_portraits.ensemble.lora.cache import TENSORS
from ensemble_portraits.ensemble.lora.files import LoraFileError, find_lora, read_hashes
from ensemble_portraits.ensemble.lora.merge import LoraChoice, LoraMismatchError, merge
from ensemble_portraits.ensemble.lora.names import UnknownNameError
from ensemble_portraits.ensemble.lora.stack import load_stack

import nodes

# The same tensors, read by the same core code, added in the same order: differences would be bugs.
# 1e-6 of the largest weight leaves room for nothing but another order of float32 additions.
RELATIVE = 1e-6

FORMATS = [
    "people/ohwx_first",
    "peft",
    "layouts/locon",
    "layouts/loha",
    "layouts/lokr",
    "layouts/dora",
]


def core_chain(model, clip, choices):
    for name, weight, clip_weight in choices:
        file = find_lora(name).name
        model, clip = nodes.LoraLoader().load_lora(model, clip, file, weight, clip_weight)
    return model, clip


def ours(model, clip, choices):
    return merge(model, clip, [LoraChoice(find_lora(n), w, c) for n, w, c in choices])


def patched_weights(patcher) -> dict[str, torch.Tensor]:
    """Every weight that has patches, with them applied by core."""
    weights = patcher.model.state_dict()
    return {
        key: comfy.lora.calculate_weight(patches, weights[key].float().clone(), key)
        for key, patches in patcher.patches.items()
    }


def assert_equal_weights(one, other):
    first, second = patched_weights(one), patched_weights(other)
    assert first.keys() == second.keys() and first
    for key, weight in first.items():
        scale = weight.abs().max()
        assert (weight - second[key]).abs().max() <= RELATIVE * scale, key


@pytest.mark.parametrize("name", FORMATS)
def test_one_file_equals_core(name, small_model):
    choices = [(name, 0.8, 0.5)]
    core_model, core_clip = core_chain(*small_model, choices)
    merged = ours(*small_model, choices)
    assert_equal_weights(core_model, merged.model)
    assert_equal_weights(core_clip.patcher, merged.clip.patcher)


def test_a_patch_does_change_the_weights(small_model):
    merged = ours(*small_model, [("people/ohwx_first", 0.8, 0.5)])
    plain = merged.model.model.state_dict()
    changed = patched_weights(merged.model)
    assert all((weight - plain[key]).abs().max() > 1e-3 for key, weight in changed.items())


EVERY = [(name, 0.9 - 0.3 * i, -0.2 + 0.25 * i) for i, name in enumerate(FORMATS)]


def test_many_files_in_one_clone_equal_a_chain_of_core_loaders(small_model):
    core_model, core_clip = core_chain(*small_model, EVERY)
    merged = ours(*small_model, EVERY)
    assert_equal_weights(core_model, merged.model)
    assert_equal_weights(core_clip.patcher, merged.clip.patcher)
    assert merged.model.parent is small_model[0]


def sample(model, clip) -> torch.Tensor:
    positive = nodes.CLIPTextEncode().encode(clip, "a (woman:1.2) in a garden")[0]
    negative = nodes.CLIPTextEncode().encode(clip, "hat")[0]
    latent = torch.zeros(1, 4, 16, 24)
    noise = comfy.sample.prepare_noise(latent, 7)
    return comfy.sample.sample(
        model,
        noise,
        4,
        7.0,
        "euler",
        "normal",
        positive,
        negative,
        latent,
        disable_pbar=True,
        seed=7,
    )


@pytest.mark.long
def test_a_whole_run_equals_a_chain_of_core_loaders(small_model):
    choices = [EVERY[0], EVERY[1], EVERY[2], EVERY[5]]
    expected = sample(*core_chain(*small_model, choices))
    merged = ours(*small_model, choices)
    found = sample(merged.model, merged.clip)
    # 1e-4 of the largest value: the same weights, and a sampler that multiplies rounding.
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    plain = sample(*small_model)
    assert (plain - expected).abs().max() > 0.05 * expected.abs().max()


@pytest.mark.long
def test_the_model_that_came_in_is_left_alone(small_model):
    model, clip = small_model
    before = sample(model, clip)
    merged = ours(model, clip, [("ganyu-lora", 1.0, 1.0)])
    sample(merged.model, merged.clip)
    assert not model.patches and not clip.patcher.patches
    assert torch.equal(sample(model, clip), before)


def test_patches_of_the_model_that_came_in_are_kept(small_model):
    once = ours(*small_model, [("ganyu-lora", 1.0, 1.0)])
    twice = ours(once.model, once.clip, [("more_details", 0.5, 0.5)])
    both = ours(*small_model, [("ganyu-lora", 1.0, 1.0), ("more_details", 0.5, 0.5)])
    assert_equal_weights(twice.model, both.model)
    assert_equal_weights(twice.clip.patcher, both.clip.patcher)


def test_strength_zero_changes_nothing(small_model):
    merged = ours(*small_model, [("ganyu-lora", 0.0, 0.0), ("layouts/dora", 0.0, 0.0)])
    assert not merged.model.patches and not merged.clip.patcher.patches


def test_without_a_clip_only_the_model_is_patched(small_model):
    merged = merge(small_model[0], None, [LoraChoice(find_lora("ganyu-lora"), 1.0, 1.0)])
    assert merged.clip is None and merged.model.patches
    assert merged.report[0].matched < merged.report[0].keys


def test_nothing_of_a_file_fits(small_model):
    with pytest.raises(LoraMismatchError) as caught:
        merge(*small_model, [LoraChoice(find_lora("sdxl"), 1.0, 1.0, "prompt")])
    for words in (
        "'prompt'",
        "sdxl.safetensors",
        "'sdxl_base_v1-0'",
        "none of the 24 keys",
        "SD15",
    ):
        assert words in str(caught.value)


def test_little_of_a_file_fits(small_model, caplog):
    merged = merge(*small_model, [LoraChoice(find_lora("partly"), 1.0, 1.0)])
    (report,) = merged.report
    assert 0 < report.matched < 0.5 * report.keys
    assert f"only {report.matched} of {report.keys} keys" in report.warning
    assert report.warning in caplog.text and merged.model.patches


def test_a_truncated_file_is_an_error_that_names_it(small_model):
    with pytest.raises(LoraFileError, match=r"truncated\.safetensors"):
        merge(*small_model, [LoraChoice(find_lora("truncated"), 1.0, 1.0)])


def test_the_stack_as_the_node_gives_it(small_model):
    stack = load_stack(
        *small_model, "849330,more_details", "1,0.6", "a <lora:layouts/dora:0.5:0.25> woman"
    )
    assert stack.prompt == "a woman"
    assert stack.triggers == "ohwx woman, more_details"
    report = json.loads(stack.report)
    assert report["skipped"] == []
    first, second, third = report["loras"]
    hashes = read_hashes(find_lora("ohwx_first"))
    assert first == {
        "file": find_lora("ohwx_first").name,
        "strength": 1.0,
        "clip_strength": 1.0,
        "matched": first["keys"],
        "keys": first["keys"],
        "base_model": "sd_v1",
        "triggers": ["ohwx woman"],
        "autov2": hashes.autov2,
        "autov3": hashes.autov3,
        "warning": "",
    }
    assert second["strength"] == 0.6
    assert (third["strength"], third["clip_strength"]) == (0.5, 0.25)
    assert "more_details at 0.6" in stack.summary
    expected = core_chain(
        *small_model,
        [("ohwx_first", 1.0, 1.0), ("more_details", 0.6, 0.6), ("layouts/dora", 0.5, 0.25)],
    )
    assert_equal_weights(expected[0], stack.model)
    assert_equal_weights(expected[1].patcher, stack.clip.patcher)


def test_a_bad_name_stops_before_anything_is_loaded(small_model):
    TENSORS.clear()
    with pytest.raises(UnknownNameError):
        load_stack(*small_model, "ganyu-lora,nobody", "", "")
    assert len(TENSORS) == 0


def test_a_second_run_reads_no_file(small_model, monkeypatch):
    load_stack(*small_model, "ganyu-lora,more_details", "1,1", "")
    monkeypatch.setattr("comfy.utils.load_torch_file", None)
    load_stack(*small_model, "ganyu-lora,more_details", "0.9,1", "")
