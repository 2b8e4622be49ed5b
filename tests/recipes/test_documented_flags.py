"""Flags that the service documents beside its prompt masking: upscaling alone, ControlNets, and what
else its pages name."""

from dataclasses import replace

import pytest
from ensemble_portraits.ensemble.recipes.build import Options
from ensemble_portraits.ensemble.recipes.library import MissingError
from ensemble_portraits.ensemble.recipes.problems import RecipeError

from .compiling import SEEDED, classes, compiled, inputs


def test_only_upscale_samples_nothing_before(machine, validate):
    text = (
        "masterpiece --only_upscale\nsteps=16\ncfg_scale=6.0\ninput_image=portrait.png\n"
        "denoising_strength=0.1"
    )
    found = compiled(text, machine)
    validate(found.graph)
    assert "sampler" not in found.graph and "VAEEncode" not in classes(found.graph)
    hires = inputs(found.graph, "hires")
    assert (hires["image"], hires["factor"]) == (["input", 0], 2.0)
    assert (hires["denoise"], hires["cfg"], hires["steps"]) == (0.1, 6.0, 16)
    assert inputs(compiled(text + "\nsuper_resolution=true", machine).graph, "hires")["factor"] == 4
    batch = compiled(text + "\nnum_images=2", machine).graph
    assert inputs(batch, "hires")["image"] == ["batch", 0]


@pytest.mark.parametrize(
    ("flags", "denoise"),
    [("--only_upscale", "0.3"), ("--outpaint center --outpaint_width 768", "0")],
)
def test_a_controlnet_does_not_turn_the_input_picture_into_noise(machine, validate, flags, denoise):
    text = (
        f"a {flags}\ninput_image=portrait.png\nw=512\nh=512\ndenoising_strength={denoise}\n"
        "controlnet=pose\ncontrolnet_txt2img=yes"
    )
    graph = compiled(text, machine).graph
    validate(graph)
    assert "sampler" not in graph and "canvas" not in graph


def test_only_upscale_without_a_picture_says_that_it_does_nothing(machine):
    notes = compiled("a --only_upscale", machine).report["notes"]
    assert any("only_upscale: there is no input picture" in note for note in notes)


@pytest.mark.parametrize("flag", ["--tiled_upscale", "--tiled_upscale_v2"])
def test_tiled_upscale_repaints_in_tiles(machine, validate, flag):
    found = compiled(f"a {flag} --hires_denoising_strength 0.3\nw=256\nh=256", machine)
    validate(found.graph)
    hires = inputs(found.graph, "hires")
    assert (hires["factor"], hires["denoise"], hires["cfg"]) == (4.0, 0.3, 5.5)
    assert 0 < hires["tile"] <= 1024


def with_nodes(machine, *names):
    """The machine with packs installed whose nodes are like core's Canny."""
    like = {
        **machine.nodes["Canny"],
        "input": {"required": {"image": ("IMAGE",)}},
        "input_order": None,
    }
    nodes = {name: machine.nodes[name] for name in list(_known(machine))}
    return replace(machine, nodes={**nodes, **dict.fromkeys(names, like)})


def _known(machine):
    import nodes

    return nodes.NODE_CLASS_MAPPINGS


CONTROLLED = "a\ninput_image=portrait.png\ncontrolnet="


@pytest.mark.parametrize(
    ("kind", "node"),
    [("depth", "DepthAnythingV2Preprocessor"), ("lineart", "LineArtPreprocessor")],
)
def test_controlnets_use_what_is_installed(machine, kind, node):
    with pytest.raises(RecipeError, match=f"{kind} needs a preprocessor.*comfyui_controlnet_aux"):
        compiled(CONTROLLED + kind, machine)
    files = {**machine.files, "controlnet": (f"control_{kind}.safetensors",)}
    graph = compiled(CONTROLLED + kind, replace(with_nodes(machine, node), files=files)).graph
    assert graph[kind]["class_type"] == node
    assert graph["control"]["inputs"]["image"] == [kind, 0]


def test_depth_by_cores_own_model(machine):
    files = {
        **machine.files,
        "controlnet": ("control_depth.safetensors",),
        "geometry_estimation": ("da3.safetensors",),
    }
    graph = compiled(CONTROLLED + "depth", replace(machine, files=files)).graph
    assert graph["control"]["inputs"]["image"] == ["depth_map", 0]
    assert inputs(graph, "depth_map")["output"] == "depth"


@pytest.mark.parametrize(
    ("models", "node"),
    [
        (("moge_2.safetensors", "Depth-Anything-3-large.safetensors"), "DA3Render"),
        (("moge_2.safetensors",), "DepthAnythingV2Preprocessor"),
    ],
)
def test_depth_takes_no_other_models_file(machine, models, node):
    files = {
        **machine.files,
        "controlnet": ("control_depth.safetensors",),
        "geometry_estimation": models,
    }
    mine = replace(with_nodes(machine, "DepthAnythingV2Preprocessor"), files=files)
    graph = compiled(CONTROLLED + "depth", mine).graph
    assert node in classes(graph)
    if node == "DA3Render":
        assert inputs(graph, "depth_model")["model_name"] == models[1]


@pytest.mark.parametrize("kind", ["depth", "canny"])
def test_a_controlnet_named_twice_has_one_map(machine, kind):
    files = {
        **machine.files,
        "controlnet": (f"control_{kind}.safetensors",),
        "geometry_estimation": ("da3.safetensors",),
    }
    text = f"a --controlnets {kind} {kind}\ninput_image=portrait.png"
    graph = compiled(text, replace(machine, files=files)).graph
    assert inputs(graph, "control_1")["image"] == inputs(graph, "control_2")["image"]


@pytest.mark.parametrize("kind", ["reference", "relight", "ipadapter", "composition"])
def test_what_nobody_has_is_refused_by_name(machine, kind):
    with pytest.raises(RecipeError, match=f"{kind} cannot be had"):
        compiled(CONTROLLED + kind, machine)


@pytest.mark.parametrize(
    "address",
    [
        "https://h/x/portrait?sig=1",
        "https://h/portrait.jpg",
        "portrait",
        "https://h/p%6Frtrait.png",
    ],
)
def test_a_picture_is_found_without_its_extension(machine, address):
    graph = compiled(f"a\ninput_image={address}", machine).graph
    assert inputs(graph, "input")["image"] == "portrait.png"


@pytest.mark.parametrize(
    "address", ["https://h/port", "https://h/..%2Fportrait", "https://h/portrait.safetensors"]
)
def test_other_names_do_not_find_it(machine, address):
    with pytest.raises(MissingError):
        compiled(f"a\ninput_image={address}", machine, Options())


SWAP = "s BREAK c BREAK a woman <lora:849330:1> BREAK a man <lora:861629:1>\nface_swap=true"


def test_the_swap_takes_the_pictures_of_the_alias_file(machine):
    files = {**machine.files, "detection": ("mediapipe_face_fp32.safetensors",)}
    faces = {"849330": "ann", "861629": "ben"}
    found = compiled(SWAP, replace(machine, files=files, faces=faces))
    swap = inputs(found.graph, "face_swap")
    assert (swap["mode"], swap["names"]) == ("warp", "ann, ben")
    assert any("pictures of ann, ben" in note for note in found.report["notes"])
    half = compiled(SWAP, replace(machine, files=files, faces={"849330": "ann"}))
    assert inputs(half.graph, "face_swap")["mode"] == "redraw"
    assert any("person 2 has no faces" in note for note in half.report["notes"])
    bare = compiled(SWAP, replace(machine, faces=faces), SEEDED)
    assert inputs(bare.graph, "face_swap")["mode"] == "redraw"
    assert any("models/detection" in note for note in bare.report["notes"])


def test_other_numbers_of_people_are_settings_of_the_recipe(machine, validate):
    text = "s BREAK c BREAK a <lora:849330:1> BREAK b\ninput_image=skeleton.png\ncontrolnet=pose"
    flags = lambda flags: text.replace("s BREAK", f"s {flags} BREAK")  # noqa: E731
    quiet = inputs(compiled(text, machine).graph, "pose")
    assert (quiet["on_mismatch"], quiet["estimator"]) == ("error", "auto")
    flagged = compiled(flags("--on_mismatch repeat --on_nobody default pose"), machine)
    validate(flagged.graph)
    pose = inputs(flagged.graph, "pose")
    assert (pose["on_mismatch"], pose["on_nobody"]) == ("repeat", "default pose")
    hosted = compiled(text, machine, replace(SEEDED, on_mismatch="largest"))
    validate(hosted.graph)
    assert inputs(hosted.graph, "pose")["on_mismatch"] == "largest"
    assert any("largest bodies are taken" in note for note in hosted.report["notes"])
    with pytest.raises(MissingError, match="'dwpose' is not here; there are auto"):
        compiled(flags("--estimator dwpose"), machine, Options())


@pytest.mark.parametrize(
    "name", ["DDIMInverseScheduler", "KarrasVeScheduler", "ScoreSdeVeScheduler"]
)
def test_approximations_are_a_field(machine, validate, name):
    body = f'{{"prompt": "a", "scheduler": "{name}"'
    with pytest.raises(RecipeError, match="ensemble_allow_approximate=yes"):
        compiled(body + "}", machine)
    found = compiled(body + ', "ensemble_allow_approximate": "yes"}', machine)
    validate(found.graph)
    assert any(f"{name} is approximated by" in note for note in found.report["notes"])
    with pytest.raises(RecipeError):
        compiled("a\nscheduler=tcd", machine)
    assert compiled("a --allow_approximate\nscheduler=tcd", machine).graph


def test_one_step_of_unipc_is_said(machine):
    one = compiled('{"prompt": "a", "num_inference_steps": 1, "highres_fix": "yes"}', machine)
    assert any("one step of UniPC" in note for note in one.report["notes"])
    assert inputs(one.graph, "hires")["sampler"] == "euler"
    two = compiled('{"prompt": "a", "num_inference_steps": 2, "highres_fix": "yes"}', machine)
    assert not any("one step" in note for note in two.report["notes"])
    assert inputs(two.graph, "hires")["sampler"] == "uni_pc_bh2"
