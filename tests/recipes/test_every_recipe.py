"""Whatever a recipe asks for, ComfyUI takes the graph."""

from ensemble_portraits.ensemble.recipes.build import Options
from ensemble_portraits.ensemble.recipes.compiler import compile_recipe
from ensemble_portraits.ensemble.recipes.problems import RecipeError
from ensemble_portraits.ensemble.recipes.recipe import Recipe, Service, Task
from ensemble_portraits.ensemble.recipes.schedulers import ASTRIA, DIFFUSERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_TEXT = st.sampled_from(
    ["a woman", "(a:1.2) man [b]", "<lora:849330:0.5> ann", "", "x {y|z}", "漢字"]
)
_ASTRIA = st.builds(
    Recipe,
    service=st.just(Service.ASTRIA),
    prompt=st.lists(_TEXT, min_size=3, max_size=5)
    .filter(any).map(lambda parts: " BREAK ".join(["scene", *parts])) | st.just("plain"),
    negative=st.sampled_from(["", "ugly", "(hat:1.3)"]),
    pictures=st.none() | st.integers(1, 64),
    seed=st.none() | st.integers(0, 2**64 - 1),
    steps=st.none() | st.integers(1, 1000),
    cfg=st.none() | st.floats(0, 100),
    denoise=st.none() | st.floats(0, 1),
    scheduler=st.none() | st.sampled_from([entry.name for entry in ASTRIA]),
    width=st.none() | st.integers(2, 2048).map(lambda n: n * 8),
    height=st.none() | st.integers(2, 2048).map(lambda n: n * 8),
    aspect=st.sampled_from([None, "1:1", "portrait", "16:9", "landscape", "anamorphic"]),
    input_image=st.sampled_from([None, "portrait.png"]),
    mask_image=st.sampled_from([None, "mask.png"]),
    controlnet=st.sampled_from([None, "pose", "canny"]),
    controlnet_txt2img=st.none() | st.booleans(),
    controlnet_scale=st.none() | st.floats(0, 10),
    guidance_end=st.none() | st.floats(0, 1),
    mask_prompt=st.sampled_from([None, "foreground"]),
    mask_invert=st.none() | st.booleans(),
    mask_dilate=st.sampled_from([None, "-20", "10%"]),
    use_lpw=st.none() | st.booleans(),
    prompt_expansion=st.none() | st.booleans(),
    super_resolution=st.none() | st.booleans(),
    hires_fix=st.none() | st.booleans(),
    hires_denoise=st.none() | st.floats(0, 1),
    color_grading=st.sampled_from([None, "Film Velvia", "Ektar"]),
    film_grain=st.none() | st.booleans(),
    face_correct=st.none() | st.booleans(),
    inpaint_faces=st.none() | st.booleans(),
    face_swap=st.none() | st.booleans(),
    outpaint=st.sampled_from([None, None, "center", "top-left", "right-center"]),
    outpaint_width=st.none() | st.integers(2, 256).map(lambda n: n * 8),
    outpaint_height=st.integers(2, 256).map(lambda n: n * 8),
    outpaint_prompt=st.sampled_from([None, "fields"]),
    only_upscale=st.none() | st.booleans(),
    tiled_upscale=st.none() | st.booleans(),
    on_mismatch=st.sampled_from([None, "repeat", "largest"]),
    on_nobody=st.sampled_from([None, "default pose"]),
)  # fmt: skip
_HOSTED = st.builds(
    Recipe,
    service=st.just(Service.LORA_MULTI),
    task=st.sampled_from(Task),
    prompt=st.sampled_from(["a woman", "<lora:849330:0.5> ann", "漢字"]),
    loras=st.lists(st.sampled_from(["849330", "861629"]), unique=True).map(tuple),
    lora_strengths=st.sampled_from([(), (0.5,)]),
    scheduler=st.none() | st.sampled_from([entry.name for entry in DIFFUSERS]),
    karras=st.none() | st.booleans(),
    clip_skip=st.none() | st.integers(1, 24),
    token_merging=st.none() | st.booleans(),
    self_attention=st.none() | st.booleans(),
    panorama=st.none() | st.booleans(),
    translate=st.none() | st.booleans(),
    enhance=st.none() | st.booleans(),
    upscale=st.none() | st.integers(1, 3),
    highres_fix=st.none() | st.booleans(),
    safety_checker=st.none() | st.booleans(),
    width=st.none() | st.integers(2, 2048).map(lambda n: n * 8),
    input_image=st.just("portrait.png"),
    mask_image=st.just("mask.png"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_ASTRIA | _HOSTED)
def test_every_compiled_graph_validates(machine, validate, recipe):
    options = Options(seed=1, allow_approximate=True, skip_missing=True)
    try:
        found = compile_recipe(recipe, machine, options)
    except RecipeError as error:
        assert "needs an input picture" in str(error)
        return
    validate(found.graph)
