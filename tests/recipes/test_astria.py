import time
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.recipes.astria import read_astria
from ensemble_portraits.ensemble.recipes.problems import Reading
from ensemble_portraits.ensemble.recipes.recipe import Recipe, Service
from ensemble_portraits.ensemble.recipes.schedulers import ASTRIA
from ensemble_portraits.ensemble.recipes.settings import ASPECTS, CONTROLS, LOOKS
from hypothesis import given
from hypothesis import strategies as st

from .writing import write_astria

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "recipes"


def settings_of(reading: Reading) -> list[str]:
    return [problem.setting for problem in reading.problems]


def test_multi_person_as_printed():
    """Every value of the documented block, its prompt's settings on the prompt's line."""
    reading = read_astria((EXAMPLES / "multi_person.txt").read_text())
    assert reading.problems == ()
    assert reading.recipe == Recipe(
        Service.ASTRIA,
        prompt="Glamour aristocrat party 2girl BREAK Zeiss Canon Mark D5, wallpaper, "
        "photorealistic, detailed skin BREAK (ohwx woman) <lora:849330:1> "
        "BREAK (ohwx woman) <lora:861629:1>",
        negative="hat, open mouth, text, oversaturated, ugly, 3d, render, cartoon, grain, low-res, "
        "kitsch ugly, tiling, poorly drawn hands, poorly drawn feet, poorly drawn face, out of "
        "frame, mutation, mutated, extra limbs, extra legs, extra arms, disfigured, deformed, "
        "cross-eye, body out of shot",
        pictures=1,
        controlnet="pose",
        input_image="https://sdbooth2-production.s3.amazonaws.com/2vxpjloxggnv9s4tw33ckn5xzdnp",
        controlnet_txt2img=True,
        super_resolution=True,
        inpaint_faces=True,
        face_correct=False,
        film_grain=True,
        face_swap=True,
        hires_fix=True,
        prompt_expansion=False,
        aspect="1:1",
        scheduler="dpm++sde_karras",
        use_lpw=True,
        width=768,
        height=512,
    )


def test_masked_portrait_as_printed():
    """Flags at the end of the prompt, settings on lines of their own."""
    reading = read_astria((EXAMPLES / "masked_portrait.txt").read_text())
    recipe = reading.recipe
    assert reading.problems == ()
    assert recipe is not None
    assert recipe.prompt.startswith("realistic digital painting, astronaut")
    assert recipe.prompt.endswith("octane rende")
    assert (recipe.mask_prompt, recipe.mask_negative) == ("foreground", "clothes")
    assert (recipe.mask_invert, recipe.mask_dilate, recipe.hires_denoise) == (True, "-20", 0.2)
    assert (recipe.controlnet, recipe.controlnet_txt2img, recipe.steps) == ("pose", False, 30)
    assert recipe.width is recipe.height is recipe.seed is recipe.denoise is None


@pytest.mark.parametrize(
    "text",
    [
        "a scene seed=5 steps=7 w=512 h=640",
        "a scene\nseed=5\nsteps=7\nw=512\nh=640",
        "a scene \r\nseed=5 \r\nsteps=7\t\r\nw=512   h=640\r\n",
        "\ufeff a scene\n\n\nh=640\nw=512\nsteps=7\nseed=5\ncfg_scale=undefined\ncontrolnet=null",
    ],
)
def test_layouts_of_the_same_settings_read_the_same(text):
    assert read_astria(text).recipe == Recipe(
        Service.ASTRIA, prompt="a scene", seed=5, steps=7, width=512, height=640
    )


def test_a_negative_may_hold_commas_colons_brackets_equals_and_break():
    negative = "(hat:1.3), <badhandv4>, a=b BREAK text, x: y"
    reading = read_astria(f"scene BREAK common BREAK woman\nnegative_prompt={negative} \nseed=1")
    assert reading.recipe is not None
    assert reading.recipe.negative == negative


def test_flags_take_words_quotes_and_stand_inside_the_base_part():
    reading = read_astria(
        'room --mask_prompt windows "red door" --mask_invert BREAK BREAK woman --mask_dilate=-20%'
    )
    assert reading.recipe is not None
    assert reading.recipe.prompt == "room BREAK BREAK woman"
    assert reading.recipe.mask_prompt == 'windows "red door"'
    assert (reading.recipe.mask_invert, reading.recipe.mask_dilate) == (True, "-20%")


def test_all_problems_are_reported_at_once_with_their_places():
    text = (
        "scene --mask_prmpt face --sparkle BREAK\n"
        "num_imagse=3\nsteps=abc\nw=-8\ncfg_scale=x seed=1 seed=2\ncontrolnet=telepathy"
    )
    reading = read_astria(text)
    assert reading.recipe is None
    found = {(p.setting, p.line, p.column) for p in reading.errors}
    assert found == {
        ("flag", 1, 7),
        ("flag", 1, 25),
        ("num_imagse", 2, 1),
        ("steps", 3, 1),
        ("w", 4, 1),
        ("cfg_scale", 5, 1),
        ("seed", 5, 20),
        ("controlnet", 6, 1),
    }
    assert "num_images" in str(reading.errors[2])


@pytest.mark.parametrize(
    ("line", "setting"),
    [
        ("steps=60", "steps"),
        ("cfg_scale=15.5", "cfg_scale"),
        ("num_images=9", "num_images"),
        ("w=513", "w"),
        ("controlnet_conditioning_scale=1.2", "controlnet_conditioning_scale"),
    ],
)
def test_the_services_ranges_bind_under_strict_and_warn_otherwise(line, setting):
    loose, strict = read_astria(f"scene\n{line}"), read_astria(f"scene\n{line}", strict=True)
    assert loose.recipe is not None
    assert settings_of(loose) == [setting]
    assert [problem.setting for problem in strict.errors] == [setting]


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("", "prompt"),
        ("scene BREAK <lora:one:1>", "prompt"),
        ("scene BREAK BREAK woman <lora::1>", "prompt"),
        ("scene BREAK BREAK woman <lora:a:nan>", "prompt"),
        ("scene\x00", "text"),
        ("scene\nnegative_prompt=\x1b[31m", "text"),
        ("scene\ninput_image=../../secret.png", "input_image"),
        ("scene\ninput_image=/etc/passwd", "input_image"),
        ("scene\ninput_image=C:\\secret.png", "input_image"),
        ("scene\nsteps=0", "steps"),
        ("scene\ndenoising_strength=nan", "denoising_strength"),
        ("scene\nseed=-1", "seed"),
        ("scene\nseed=1e3", "seed"),
        ("scene\nuse_lpw=maybe", "use_lpw"),
        ("scene\nseed=5\nbanana=1", "banana"),
        ("scene\ninput_image=a.png\ninput_image_url=b.png", "input_image_url"),
        ("a" * 1_000_001, "text"),
    ],
)
def test_bad_text_is_refused_by_name(text, setting):
    reading = read_astria(text)
    assert reading.recipe is None
    assert setting in settings_of(reading)


def test_a_setting_of_the_service_that_does_nothing_here_is_named():
    reading = read_astria("scene --fix_bindi\nstyle=cinematic")
    assert reading.recipe is not None
    assert sorted(settings_of(reading)) == ["fix_bindi", "style"]


@given(st.text())
def test_arbitrary_text_never_crashes(text):
    read_astria(text)


_PIECES = ["BREAK", "--mask_prompt", "--x", "seed=", "=", "<lora:", "a:1>", "\n", '"', "(", ":1.3)"]


@given(st.lists(st.sampled_from([*_PIECES, " ", "w=8", "steps=", "--mask_dilate -5%"])))
def test_texts_made_of_the_grammars_own_pieces_never_crash(pieces):
    reading = read_astria(" ".join(pieces))
    if reading.recipe is not None:
        # What was read can be written, unless quotes make that impossible, and reads the same.
        assert read_astria(write_astria(reading.recipe)).recipe == reading.recipe


_WORDS = st.text("abcXYZ éß漢.,;:!?()[]*#/'", max_size=30).map(str.strip)
_PART = st.builds(
    lambda words, lora: f"{words} {lora}".strip(),
    _WORDS,
    st.sampled_from(["", "<lora:849330:1>", "<lora:people/anna:0.7:0.5>"]),
)
_PROMPT = st.builds(
    lambda first, parts: " BREAK ".join([first, *parts]),
    st.text("abcXYZ é漢.,()", min_size=1, max_size=40).map(lambda text: ("a" + text).strip()),
    st.lists(_PART, min_size=0, max_size=4).filter(lambda parts: len(parts) != 1),
)


def _maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


RECIPES = st.builds(
    Recipe,
    service=st.just(Service.ASTRIA),
    prompt=_PROMPT.map(str.strip),
    negative=_WORDS.filter(lambda text: text not in ("null", "undefined")),
    pictures=_maybe(st.integers(1, 8)),
    seed=_maybe(st.integers(0, 2**32)),
    steps=_maybe(st.integers(1, 50)),
    cfg=_maybe(st.floats(0, 15)),
    denoise=_maybe(st.floats(0, 1)),
    scheduler=_maybe(st.sampled_from([entry.name for entry in ASTRIA])),
    width=_maybe(st.integers(8, 128).map(lambda eighths: eighths * 8)),
    height=_maybe(st.integers(8, 128).map(lambda eighths: eighths * 8)),
    aspect=_maybe(st.sampled_from(ASPECTS)),
    input_image=_maybe(st.sampled_from(["a.png", "sub/b c.jpg", "https://host/x?y=1&z=2"])),
    mask_image=_maybe(st.sampled_from(["mask.png", "https://host/mask"])),
    controlnet=_maybe(st.sampled_from(CONTROLS)),
    controlnet_scale=_maybe(st.floats(0, 1)),
    controlnet_txt2img=_maybe(st.booleans()),
    controlnets=st.sampled_from([(), ("pose",), ("pose", "canny")]),
    controlnet_weights=st.sampled_from([(), (0.5,), (1.0, 0.25)]),
    guidance_end=_maybe(st.floats(0, 1)),
    mask_prompt=_maybe(st.sampled_from(["foreground", 'windows "red door"'])),
    mask_negative=_maybe(st.sampled_from(["clothes", "clothes hat shoes"])),
    mask_invert=_maybe(st.booleans()),
    mask_dilate=_maybe(st.sampled_from(["-20", "15%", "0", "2.5"])),
    use_lpw=_maybe(st.booleans()),
    prompt_expansion=_maybe(st.booleans()),
    super_resolution=_maybe(st.booleans()),
    hires_fix=_maybe(st.booleans()),
    hires_denoise=_maybe(st.floats(0, 1)),
    hires_cfg=_maybe(st.floats(0, 15)),
    inpaint_faces=_maybe(st.booleans()),
    face_correct=_maybe(st.booleans()),
    face_swap=_maybe(st.booleans()),
    color_grading=_maybe(st.sampled_from(LOOKS)),
    film_grain=_maybe(st.booleans()),
)


@given(RECIPES)
def test_a_recipe_written_and_read_is_the_same_recipe(recipe):
    reading = read_astria(write_astria(recipe))
    assert reading.recipe == recipe


def _seconds(texts: list[str]) -> float:
    """Processor time, so that other work on the machine does not count; the best of five."""
    times = []
    for _ in range(5):
        start = time.thread_time()
        for text in texts:
            read_astria(text)
        times.append(time.thread_time() - start)
    # Below some milliseconds the clock says nothing.
    return max(min(times), 5e-3)


@pytest.mark.parametrize(
    "unit", ["word ", "a=b ", "\nx=1", " seed=", "<lora:a:1> ", " BREAK ", "--x ", "((", "\n"]
)
def test_reading_takes_linear_time(unit):
    """One long text against as much in ten pieces: linear is 1, quadratic 10."""
    piece = (unit * 40_000)[:40_000]
    assert _seconds([piece * 10]) < 4 * _seconds([piece] * 10)
