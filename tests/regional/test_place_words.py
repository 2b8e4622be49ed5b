"""Input place_words: the scene's text says where everybody stands, where a language model reads it."""

import dataclasses

import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from ensemble_portraits.ensemble.prompt.emphasis import Weights
from ensemble_portraits.ensemble.regional.compose import compose
from ensemble_portraits.ensemble.regional.crops import CanvasCrop
from ensemble_portraits.ensemble.regional.families import FAMILIES
from ensemble_portraits.ensemble.regional.families.transformer import TransformerFamily
from ensemble_portraits.ensemble.regional.settings import Settings
from ensemble_portraits.ensemble.regions.layout import Layout
from ensemble_portraits.ensemble.regions.masks import centre
from ensemble_portraits.ensemble.regions.rect import WHOLE, Rect
from words import Words

PROMPT = r"a park BREAK photo BREAK a (woman:1.2) in red \(dress\) BREAK a man"
SAID = "On the left: a woman in red (dress). On the right: a man."


def said(people) -> str:
    """What the encoder of the scene was told."""
    return "".join(piece for piece, _ in people.base.conditioning[0][0])


def people_of(model, *, weights=Weights.A1111, clip=None, text=PROMPT, **more):
    settings = Settings(
        place_words=True, weights=weights, layout=more.pop("layout", Layout.COLUMNS)
    )
    return compose(model, clip or Words(), text=text, negative="bad", settings=settings, **more)


@pytest.fixture(scope="module")
def dit() -> ModelPatcher:
    import comfy.supported_models

    config = {
        "image_model": "qwen_image", "in_channels": 64, "num_layers": 1, "attention_head_dim": 16,
        "num_attention_heads": 4, "joint_attention_dim": 24, "axes_dims_rope": (4, 6, 6),
    }  # fmt: skip
    parts = comfy.supported_models.QwenImage(config)
    parts.unet_config["dtype"] = torch.float32
    parts.set_inference_dtype(torch.float32, None)
    inner = parts.get_model({}, "", device=tiny.CPU)
    return ModelPatcher(inner, load_device=tiny.CPU, offload_device=tiny.CPU)


@pytest.mark.parametrize(("weights", "scene"), [
    (Weights.A1111, f"a park, photo. {SAID}"),
    (Weights.COMFY, f"a park, photo. {SAID}"),
    (Weights.OFF, r"a park, photo. On the left: a (woman:1.2) in red \(dress\). On the right: a man."),
])  # fmt: skip
@pytest.mark.parametrize("emphasis", [False, True])
def test_a_language_model_is_told_who_stands_where(dit, weights, scene, emphasis):
    clip = Words(emphasis)
    if weights is Weights.A1111 and emphasis:
        pytest.skip("a1111 on such an encoder is refused")
    people = people_of(dit, weights=weights, clip=clip)
    if weights is Weights.OFF and emphasis:
        scene = scene.replace("\\", "")  # core's own reading of an escaped bracket
    assert said(people) == scene
    assert all(weight == 1.0 for _, weight in people.base.conditioning[0][0])
    assert people.negative.text == "bad"
    assert [person.positive.text for person in people.people][1] == "a man, photo"


def test_the_node_says_what_it_adds(dit):
    assert f"place_words adds to the scene: {SAID}" in people_of(dit).notes


def test_places_follow_the_regions(dit):
    masks = torch.zeros(2, 30, 40)
    masks[0, :, 30:] = masks[1, :, :10] = 1
    assert "On the right: a woman in red (dress). On the left: a man." in said(
        people_of(dit, regions=masks)
    )
    rows = people_of(dit, layout=Layout.ROWS)
    assert "At the top: a woman in red (dress). At the bottom: a man." in said(rows)
    masks[1] = 0
    (line,) = [n for n in people_of(dit, regions=masks).notes if n.startswith("place_words")]
    assert line == "place_words adds to the scene: On the right: a woman in red (dress)."


def test_one_region_for_all_tells_nobody_apart(dit):
    people = people_of(dit, regions=torch.ones(1, 8, 8))
    assert said(people) == "a park, photo"
    assert any("adds nothing: no person" in note for note in people.notes)


def test_clip_gets_nothing_and_the_node_says_so():
    people = people_of(tiny.model())
    assert said(people) == "a park, photo" and people.unplaced is None
    assert any("adds nothing on this model" in note for note in people.notes)


def test_off_is_off_and_a_plain_prompt_has_nobody(dit):
    people = compose(dit, Words(), text=PROMPT, negative="", settings=Settings())
    assert said(people) == "a park, photo"
    plain = people_of(dit, text="a park")
    assert said(plain) == "a park"
    assert not any("place_words" in note for note in (*people.notes, *plain.notes))


def test_a_part_of_the_canvas_is_not_told_places_of_the_whole(dit):
    people = people_of(dit)
    tile = CanvasCrop.tile(Rect.fractions(0, 0, 0.5, 0.5)).people(people)
    assert said(tile) == "a park, photo"
    assert said(CanvasCrop.tile(WHOLE).people(people)) == said(people)
    assert said(dataclasses.replace(people, base=people.base_of_parts)) == "a park, photo"


def test_the_dit_families_read_language_and_those_of_clip_do_not():
    for family in FAMILIES:
        assert family.reads_language == isinstance(family, TransformerFamily), family.name


def test_the_centre_of_a_mask():
    mask = torch.zeros(10, 20)
    mask[0:2, 10:20] = 0.5
    assert centre(mask) == pytest.approx((0.75, 0.1))
    assert centre(torch.zeros(4, 4)) is None
