"""Other names for what is not on the machine, and what was understood."""

import pytest
from ensemble_portraits.ensemble.recipes.choices import with_choices
from ensemble_portraits.ensemble.recipes.reading import read_recipe
from ensemble_portraits.ensemble.recipes.recipe import Recipe, Service, Task
from ensemble_portraits.ensemble.recipes.told import understood

TEXT = (
    "a park BREAK photo BREAK a woman <lora:ann:0.8>, smiling BREAK a man <lora:ben:1:0.5>\n"
    "input_image_url=https://x/y/pose%201?z=1\nsteps=20\ncontrolnet=pose"
)


def test_tags_are_renamed_and_left_out():
    recipe = read_recipe(TEXT).require()
    chosen = with_choices(
        recipe, {("loras", "ann"): "people/Ann.safetensors", ("loras", "ben"): None}
    )
    assert chosen.prompt == (
        "a park BREAK photo BREAK a woman <lora:people/Ann.safetensors:0.8:0.8>, smiling BREAK a man"
    )
    assert with_choices(recipe, {}) is recipe
    assert with_choices(recipe, {("vae", "ann"): "x"}) == recipe


def test_a_picture_is_known_by_its_address_s_last_part():
    recipe = read_recipe(TEXT).require()
    other = with_choices(recipe, {("images", "pose 1"): "mine.png"})
    assert other.input_image == "mine.png" and other.controlnet == "pose"
    assert with_choices(recipe, {("images", "pose 1"): None}).input_image is None


@pytest.mark.parametrize(
    ("out", "task"), [("mask.png", Task.IMAGE), ("photo.png", Task.TEXT), ("other", Task.INPAINT)]
)
def test_without_its_pictures_another_call_is_left(out, task):
    recipe = Recipe(
        Service.LORA_MULTI, Task.INPAINT, "a", input_image="photo.png", mask_image="mask.png"
    )
    chosen = with_choices(recipe, {("images", out): None})
    assert chosen.task is task
    assert (chosen.mask_image is None) == (task is not Task.INPAINT)


def test_lists_keep_their_strengths():
    recipe = Recipe(Service.LORA_MULTI, loras=("a", "b", "c"), lora_strengths=(0.1, 0.2, 0.3))
    chosen = with_choices(recipe, {("loras", "b"): None, ("loras", "c"): "d"})
    assert (chosen.loras, chosen.lora_strengths) == (("a", "d"), (0.1, 0.3))
    one = with_choices(
        Recipe(Service.LORA_MULTI, loras=("a", "b"), lora_strengths=(0.5,)), {("loras", "a"): "x"}
    )
    assert (one.loras, one.lora_strengths) == (("x", "b"), (0.5, 0.5))


def test_a_recipe_without_a_model_takes_the_chosen_one():
    recipe = Recipe(Service.ASTRIA, prompt="a")
    assert (
        with_choices(recipe, {("checkpoints", "default"): "x.safetensors"}).model == "x.safetensors"
    )
    assert with_choices(recipe, {("loras", "default"): "x"}).model is None


def test_what_is_understood_names_people_loras_and_settings():
    told = understood(read_recipe(TEXT).require())
    assert [(part["role"], part["text"]) for part in told["parts"]] == [
        ("base", "a park"), ("common", "photo"), ("person", "a woman, smiling"), ("person", "a man"),
    ]  # fmt: skip
    assert told["parts"][2]["loras"] == [{"name": "ann", "weight": 0.8}]
    assert told["settings"]["steps"] == "20" and "prompt" not in told["settings"]
