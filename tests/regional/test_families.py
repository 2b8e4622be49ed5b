"""The registry of model families: who is recognised, and what their layers really get."""

from dataclasses import dataclass

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional import families
from ensemble_portraits.ensemble.regional.build import build, prepare
from ensemble_portraits.ensemble.regional.families import OTHER, family_of
from ensemble_portraits.ensemble.regional.families.family import Family, Stream
from ensemble_portraits.ensemble.regional.families.unet import (
    STABLE_DIFFUSION,
    STABLE_DIFFUSION_XL,
    UNet,
)
from ensemble_portraits.ensemble.regional.people import Method

UNETS = [(tiny.SD15, STABLE_DIFFUSION), (tiny.SDXL, STABLE_DIFFUSION_XL)]


@pytest.mark.parametrize(("config", "family"), UNETS)
def test_models_are_recognised(config, family):
    assert family_of(tiny.model(config)) is family


def test_a_unet_without_cross_attention_is_no_family():
    assert family_of(tiny.model({**tiny.SD15, "transformer_depth": [0, 0],
                                 "transformer_depth_output": [0] * 4,
                                 "transformer_depth_middle": -1})) is OTHER  # fmt: skip


@pytest.mark.parametrize(("config", "family"), UNETS)
def test_layers_get_what_their_stream_says(config, family):
    """Every layer of one forward pass: places of the picture, the text's 77 tokens, or a vector."""
    model = tiny.model(config)
    unet, seen = model.model.diffusion_model, {}

    def note(name):
        return lambda layer, args: seen.update({name: args[0].shape})

    for name, layer in unet.named_modules():
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            layer.register_forward_pre_hook(note(name))
    text = tiny.text(1, pooled=64).conditioning
    with torch.no_grad():
        tiny.sample(model, text, text, steps=1, size=(7, 13))
    grids = family.token_grids(7, 13)
    streams = {name: family.stream(name) for name in seen}
    assert set(streams.values()) == {Stream.IMAGE, Stream.TEXT, Stream.VECTOR}
    for name, shape in seen.items():
        if streams[name] is Stream.VECTOR:
            assert len(shape) == 2, name
        elif streams[name] is Stream.TEXT:
            assert shape[1] == 77, name
        else:
            assert len(shape) == 4 or shape[1] in grids, name


@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 5), (1, 1), (97, 64)])
def test_grids_halve_upwards_as_strided_convolutions_do(height, width):
    grids = STABLE_DIFFUSION.token_grids(height, width)
    x = torch.zeros(1, 1, height, width)
    while min(x.shape[2:]) > 1 or max(x.shape[2:]) > 1:
        assert grids[x.shape[2] * x.shape[3]] == tuple(x.shape[2:])
        x = torch.nn.functional.conv2d(x, torch.zeros(1, 1, 3, 3), stride=2, padding=1)


@pytest.mark.parametrize(("channels", "inpaints"), [(4, False), (9, True)])
def test_inpainting_models_have_more_channels_than_their_latents(channels, inpaints):
    model = tiny.model({**tiny.SD15, "in_channels": channels})
    assert family_of(model).takes_masked_picture(model.model) is inpaints


@dataclass(frozen=True)
class Toy(Family):
    """What a new family's file holds at least."""

    def recognises(self, model):
        return model.model_config.unet_config["model_channels"] == 64


def test_a_new_family_is_one_entry(monkeypatch):
    """It takes its models from the entries after it, and what it lacks is said by its own words."""
    toy = Toy(name="toy")
    monkeypatch.setattr(families, "FAMILIES", (toy, *families.FAMILIES))
    model = tiny.model(tiny.SDXL)
    assert family_of(model) is toy and family_of(tiny.model()) is STABLE_DIFFUSION
    people = tiny.people(model, [{}, {}], tiny.columns(2), tokens=[77, 154, 77])
    ready = prepare(people)
    assert ready.method is Method.EXACT
    assert ready.notes == (
        "SDXL is not a model that method = fused knows, so method = exact is used.",
    )
    # It does not say that its texts may be repeated.
    assert {entry[0].shape[1] for entry in build(people, ready).positive} == {77, 154}


def test_a_layer_that_works_before_sampling_is_refused(monkeypatch):
    """Anima's text adapter: a LoRA there would do nothing, without a word about it."""
    monkeypatch.setattr(families, "FAMILIES", (UNet(name="cousin", unreached=r"time_embed\."),))
    model = tiny.model()
    for layers, refused in ((tiny.EVERYTHING, True), (tiny.ATTENTION, False)):
        for method in Method:
            state = tiny.lora(model, 1, layers=layers)
            people = tiny.people(model, [state], torch.ones(1, 64, 96), method=method)
            if refused:
                with pytest.raises(ValueError, match=r"time_embed.0.*2 such.*MultiLoraLoader"):
                    prepare(people)
            else:
                assert prepare(people).method is method


def test_an_entry_with_cross_attention_runs_fused(monkeypatch):
    cousin = UNet(name="cousin", picture_side=640)
    monkeypatch.setattr(families, "FAMILIES", (cousin,))
    model = tiny.model()
    people = tiny.people(model, [tiny.lora(model, 1)], torch.ones(1, 64, 96))
    assert family_of(model).picture_side == 640
    assert prepare(people).method is Method.FUSED
