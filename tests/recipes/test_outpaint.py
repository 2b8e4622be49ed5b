"""`--outpaint`: where the picture stands on its canvas, and what is painted before and after."""

from dataclasses import replace

import pytest
from ensemble_portraits.ensemble.recipes.build import OutputSize
from ensemble_portraits.ensemble.recipes.problems import RecipeError

from .compiling import SEEDED, compiled, inputs

# As the service's page on outpainting prints it.
ONLY_OUTPAINT = (
    "--outpaint top-center --outpaint_width 864 --outpaint_height 1296\n"
    "input_image_url=https://h/d6ff3soq5pok5tlbcanf599vkw06\ndenoising_strength=0\nw=576\nh=864\n"
    "scheduler=euler_a\n"
)
BOTH = (
    "ohwx woman in a sweater --outpaint left-center --outpaint_width 1792 --outpaint_height 1024 "
    '--outpaint_prompt "fields"\nw=1024\nh=1024\nscheduler=euler_a\n'
)


def sides(graph) -> tuple[int, ...]:
    return tuple(inputs(graph, "outpaint")[side] for side in ("left", "top", "right", "bottom"))


def test_the_documented_outpainting_of_an_input_picture(machine, validate):
    found = compiled(ONLY_OUTPAINT, machine)
    validate(found.graph)
    assert sides(found.graph) == (144, 0, 144, 432)
    assert "sampler" not in found.graph and "outpaint_sampler" in found.graph


def test_the_documented_outpainting_of_a_new_picture(machine, validate):
    found = compiled(BOTH, machine)
    validate(found.graph)
    assert sides(found.graph) == (0, 0, 768, 0)
    assert "sampler" in found.graph
    assert inputs(found.graph, "outpaint_prompt")["text"] == "fields"
    assert inputs(found.graph, "outpaint_sampler")["model"] == ["outpaint_soft", 0]


@pytest.mark.parametrize(
    ("anchor", "expected"),
    [
        ("top-left", (0, 0, 256, 128)),
        ("top-right", (256, 0, 0, 128)),
        ("bottom-left", (0, 128, 256, 0)),
        ("bottom-right", (256, 128, 0, 0)),
        ("center", (128, 64, 128, 64)),
        ("top-center", (128, 0, 128, 128)),
        ("bottom-center", (128, 128, 128, 0)),
        ("left-center", (0, 64, 256, 64)),
        ("right-center", (256, 64, 0, 64)),
    ],
)
def test_anchors_say_where_the_picture_stands(machine, anchor, expected):
    text = f"a --outpaint {anchor} --outpaint_width 768 --outpaint_height 640\nw=512\nh=512"
    assert sides(compiled(text, machine).graph) == expected


def test_without_a_size_the_pictures_own_is_read(machine):
    text = "--outpaint center --outpaint_width 160\ninput_image=portrait.png\ndenoising_strength=0"
    # The tests' picture is 96x64.
    assert sides(compiled(text, machine).graph) == (32, 0, 32, 0)
    with pytest.raises(RecipeError, match="needs w and h"):
        compiled(text, replace(machine, size=lambda _: None))
    with pytest.raises(RecipeError, match="needs --outpaint_width or"):
        compiled("a --outpaint center", machine)


@pytest.mark.parametrize("given", ["w=192", "h=128"])
def test_a_side_that_is_given_stays_and_the_other_follows_the_picture(machine, given):
    text = "--outpaint center --outpaint_width 256\ninput_image=portrait.png\ndenoising_strength=0"
    graph = compiled(f"{text}\n{given}", machine).graph
    # The tests' picture is 96x64.
    size = inputs(graph, "working_size")
    assert (size["width"], size["height"]) == (192, 128)
    assert sides(graph) == (32, 0, 32, 0)


def test_no_side_is_longer_than_comfyui_takes(machine, validate):
    text = "a --outpaint center --outpaint_height 16384\ninput_image=portrait.png\nh=12000"
    graph = compiled(text, machine).graph
    validate(graph)
    size = inputs(graph, "working_size")
    assert (size["width"], size["height"], size["crop"]) == (16384, 12000, "center")


@pytest.mark.parametrize(("width", "fits"), [(512, True), (256, False)])
def test_a_canvas_that_the_picture_fills_paints_nothing(machine, validate, width, fits):
    text = f"a --outpaint center --outpaint_width {width} --outpaint_height {width}\nw=512\nh=512"
    found = compiled(text, machine)
    validate(found.graph)
    assert "outpaint" not in found.graph and "outpaint_sampler" not in found.graph
    assert ("outpaint_fit" not in found.graph) == fits
    assert any("fills its canvas" in note for note in found.report["notes"])


def test_a_mask_of_the_larger_picture_is_not_pasted_over_the_smaller(machine, validate):
    text = (
        "a --mask_prompt hat --outpaint center --outpaint_width {0} --outpaint_height {0}\n"
        "input_image=portrait.png\nw=512\nh=512"
    )
    options = replace(SEEDED, output_size=OutputSize.INPUT)
    kept = compiled(text.format(512), machine, options).graph
    fitted = compiled(text.format(256), machine, options).graph
    validate(fitted)
    assert "paste_back" in kept and "paste_back" not in fitted


def test_a_smaller_canvas_shrinks_the_picture(machine):
    text = "a --outpaint top-center --outpaint_width 256 --outpaint_height 512\nw=512\nh=512"
    graph = compiled(text, machine).graph
    assert (inputs(graph, "outpaint_fit")["width"], inputs(graph, "outpaint_fit")["height"]) == (
        256,
        256,
    )
    assert sides(graph) == (0, 0, 0, 256)


def test_faces_are_redrawn_before_people_leave_their_places(machine, validate):
    text = (
        "s BREAK c BREAK a <lora:849330:1> BREAK b --outpaint center --outpaint_width 768\n"
        "w=512\nh=512\ninpaint_faces=true\nsuper_resolution=true"
    )
    graph = compiled(text, machine).graph
    validate(graph)
    assert inputs(graph, "faces")["people"] == ["people", 3]
    order = list(graph)
    assert order.index("faces") < order.index("outpaint") < order.index("hires")
    assert "people" not in inputs(graph, "hires")


@pytest.mark.parametrize(
    ("more", "factor"),
    [
        ("\nhires_fix=true", None),
        ("\nhires_fix=true\nsuper_resolution=true", 4),
        (" --tiled_upscale", 4),
    ],
)
def test_people_are_painted_again_before_the_surroundings(machine, validate, more, factor):
    flag, setting = (more, "") if more.startswith(" ") else ("", more)
    text = (
        f"s BREAK c BREAK a <lora:849330:1> BREAK b --outpaint center --outpaint_width 768{flag}\n"
        f"w=512\nh=512\ninpaint_faces=true{setting}"
    )
    graph = compiled(text, machine).graph
    validate(graph)
    again = inputs(graph, "hires_people")
    assert (again["people"], again["factor"], again["denoise"]) == (["people", 3], 1, 0.4)
    order = list(graph)
    assert order.index("hires_people") < order.index("faces") < order.index("outpaint")
    if factor is None:
        assert "hires" not in graph
    else:
        after = inputs(graph, "hires")
        assert (after["image"], after["factor"], after["denoise"]) == (
            ["outpaint_composite", 0],
            factor,
            0,
        )


@pytest.mark.parametrize("denoise", ["0", "0.3"])
def test_only_upscale_beside_outpainting_repaints_the_picture_alone(machine, validate, denoise):
    text = (
        "a --only_upscale --outpaint center --outpaint_width 768\ninput_image=portrait.png\n"
        f"w=512\nh=512\ndenoising_strength={denoise}"
    )
    graph = compiled(text, machine).graph
    validate(graph)
    # At the size that the sides were counted for, and not at the file's own.
    padded = "working_size" if denoise == "0" else "hires_people"
    assert inputs(graph, "outpaint")["image"] == [padded, 0]
    assert ("hires_people" in graph) == (denoise != "0")
    assert (inputs(graph, "hires")["denoise"], inputs(graph, "hires")["factor"]) == (0, 2)
