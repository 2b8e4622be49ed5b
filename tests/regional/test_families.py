"""The registry of model families: who is recognised, and what their layers really get."""

from dataclasses import dataclass

import comfy.supported_models
import pytest
import tiny
import torch
from comfy.supported_models import SD15
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

TRIED = {
    "SD15": tiny.SD15, "SD15_instructpix2pix": {**tiny.SD15, "in_channels": 8},
    "SD20": {**tiny.SDXL, "adm_in_channels": None, "num_classes": None},
    "SD21UnclipL": {**tiny.SDXL, "adm_in_channels": 1536},
    "SD21UnclipH": {**tiny.SDXL, "adm_in_channels": 2048},
    **dict.fromkeys(["SDXL", "SSD1B", "Segmind_Vega", "KOALA_700M", "KOALA_1B"], tiny.SDXL),
    "SDXL_instructpix2pix": {**tiny.SDXL, "in_channels": 8}, "SDXLRefiner": tiny.SDXL,
}  # fmt: skip
"""Core's entries of UNets that `fused` knows, and a small model of each."""
UNETS = [(tiny.SD15, STABLE_DIFFUSION), (tiny.SDXL, STABLE_DIFFUSION_XL)]


@pytest.mark.parametrize(("config", "family"), UNETS)
def test_models_are_recognised(config, family):
    assert family_of(tiny.model(config)) is family


@pytest.mark.parametrize("name", TRIED)
def test_every_kind_of_unet_that_is_known_paints_one_person_as_cores_merged_lora(name):
    """Unclip's label comes from pictures, the refiner's from an aesthetic score, and instruct models
    see a second picture."""
    config = TRIED[name]
    kind = getattr(comfy.supported_models, name)
    if name == "SDXLRefiner":
        config = {**config, "adm_in_channels": 64 + 5 * 256}
    model = tiny.model(config, kind=kind)
    state = tiny.lora(model, 1, layers=tiny.EVERYTHING)
    people = tiny.people(model, [state], torch.ones(1, 64, 96), base_strength=0.0, pooled=64)
    assert prepare(people).method is Method.FUSED
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, state), 1.0)
    texts = person.positive.conditioning, person.negative.conditioning
    wanted = tiny.sample(merged, *texts)
    assert tiny.relative(tiny.sample(model, *texts), wanted) > 0.01  # the LoRA matters
    assert tiny.relative(tiny.sample(*build(people)[:3]), wanted) < 1e-4


def test_of_cores_models_those_that_were_tried_have_fused():
    """Every entry of core's list, with a UNet in it: Lotus, SVD, Zero123 and the upscaler have the
    same UNet, another use of it, and exact."""
    model = tiny.model().model
    for kind in comfy.supported_models.models:
        model.model_config = kind.__new__(kind)
        family = next((f for f in families.FAMILIES if f.recognises(model)), OTHER)
        assert (family is not OTHER) == (kind.__name__ in TRIED), kind
        assert (family.why_not_fused(model) is None) == (kind.__name__ in TRIED), kind


def test_another_use_of_the_same_unet_gets_exact_with_a_note():
    model = tiny.model({**tiny.SDXL, "adm_in_channels": 4}, kind=comfy.supported_models.LotusD)
    ready = prepare(tiny.people(model, [{}], torch.ones(1, 64, 96)))
    assert ready.method is Method.EXACT
    assert "Lotus is not a model that method = fused knows" in ready.notes[0]


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
    monkeypatch.setattr(
        families, "FAMILIES", (UNet(name="cousin", kinds=(SD15,), unreached=r"time_embed\."),)
    )
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
    cousin = UNet(name="cousin", kinds=(SD15,), picture_side=640)
    monkeypatch.setattr(families, "FAMILIES", (cousin,))
    model = tiny.model()
    people = tiny.people(model, [tiny.lora(model, 1)], torch.ones(1, 64, 96))
    assert family_of(model).picture_side == 640
    assert prepare(people).method is Method.FUSED
