"""Texts that are doubted and come mended, and the quotes around values of flags."""

import pytest
from ensemble_portraits.ensemble.recipes.astria import read_astria


@pytest.mark.parametrize(
    "flags",
    [
        "",
        " --mask_prompt hat",
        ' --mask_prompt "red BREAKS"',
        ' --mask_prompt "a BREAK b"',
        " <lora:BREAK:1> --mask_prompt hat",
        " --mask_prompt hat <lora:BREAK:1> --mask_invert",
    ],
)
def test_a_person_in_the_common_slot_is_doubted_and_mended(flags):
    text = f"scene{flags} BREAK woman <lora:a:1> BREAK man <lora:b:1>\nsteps=5\ninput_image=x.png"
    reading = read_astria(text)
    (warning,) = reading.warnings
    assert reading.require().people == 1
    assert (
        warning.setting == "prompt" and "move the LoRA's tag into the first part" in warning.message
    )
    mended = read_astria(warning.mended)
    assert not mended.problems
    assert [part.text for part in mended.require().parts.people] == ["woman", "man"]
    assert mended.require().steps == 5


def test_a_flag_behind_the_break_stays_the_flag_it_is():
    text = "scene BREAK --mask_prompt hat <lora:a:1> woman BREAK man\ninput_image=x.png"
    (warning,) = read_astria(text).warnings
    assert warning.mended == text.replace("scene BREAK", "scene BREAK BREAK")


@pytest.mark.parametrize("name", ["outpaint_prompt", "estimator"])
@pytest.mark.parametrize("written", ['"empty beach, at dawn"', "empty beach, at dawn"])
def test_the_quotes_around_a_text_are_not_its_own(name, written):
    recipe = read_astria(f"a --{name} {written} --only_upscale").require()
    assert getattr(recipe, name) == "empty beach, at dawn"


def test_several_controlnets_may_stand_in_quotes():
    recipe = read_astria('a --controlnets "pose tile" --controlnet_weights "0.5, 1"').require()
    assert (recipe.controlnets, recipe.controlnet_weights) == (("pose", "tile"), (0.5, 1.0))


def test_one_break_too_few_comes_with_the_text_mended():
    (error,) = read_astria("scene BREAK woman <lora:a:1>").errors
    assert [p.text for p in read_astria(error.mended).require().parts.people] == ["woman"]


def test_a_tag_behind_the_words_of_a_flag_is_the_prompts():
    recipe = read_astria("a park --mask_prompt foreground <lora:x:1>\ninput_image=x.png").require()
    assert (recipe.prompt, recipe.mask_prompt) == ("a park <lora:x:1>", "foreground")
