"""Each setting reaches its node."""

import json
from dataclasses import replace

import pytest

from .compiling import compiled, inputs


def test_a_scheduler_without_its_ending_is_the_same(machine, validate):
    body = {"prompt": "a", "model_id": "small_sd15", "scheduler": "UniPCMultistep"}
    graph = compiled(json.dumps(body), machine).graph
    validate(graph)
    assert inputs(graph, "scheduler")["name"] == "UniPCMultistepScheduler"


def test_every_setting_of_lora_multi_reaches_its_node(machine, validate):
    body = {
        "prompt": "una mujer", "negative_prompt": "n", "model_id": "small_sd15",
        "lora_model": "849330,861629", "lora_strength": "0.5,0.75", "samples": 3, "seed": 5,
        "width": 320, "height": 256, "num_inference_steps": 9, "guidance_scale": 3.5,
        "multi_lingual": "yes", "panorama": "yes", "self_attention": "yes", "tomesd": "yes",
        "clip_skip": 2, "enhance_prompt": "yes", "use_karras_sigmas": "no",
        "scheduler": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver+++",
        "safety_checker": "yes", "safety_checker_type": "blur",
    }  # fmt: skip
    graph = compiled(json.dumps(body), machine).graph
    validate(graph)
    assert inputs(graph, "loras")["loras"] == "849330, 861629"
    assert inputs(graph, "loras")["strengths"] == "0.5, 0.75"
    assert inputs(graph, "canvas") == {"width": 320, "height": 256, "batch_size": 3}
    assert inputs(graph, "clip_skip")["stop_at_clip_layer"] == -2
    scheduler = inputs(graph, "scheduler")
    assert (scheduler["steps"], scheduler["karras"], scheduler["stochastic"]) == (9, False, True)
    assert (inputs(graph, "sampler")["noise_seed"], inputs(graph, "sampler")["cfg"]) == (5, 3.5)
    assert inputs(graph, "safety")["action"] == "blur"
    assert inputs(graph, "prompt")["text"] == ["enhance", 0]
    assert inputs(graph, "enhance")["prompt"] == ["translate", 0]
    assert inputs(graph, "translate")["prompt"] == ["loras", 2]
    # The decoder wraps too, and sampling goes through every patch.
    assert inputs(graph, "decode")["vae"] == ["panorama", 1]
    assert inputs(graph, "panorama")["model"] == ["self_attention", 0]
    assert inputs(graph, "self_attention")["model"] == ["tomesd", 0]
    assert inputs(graph, "tomesd")["model"] == ["loras", 0]


@pytest.mark.parametrize(
    ("fields", "factor", "denoise"),
    [
        ({"highres_fix": "yes"}, 2.0, 0.4),
        ({"upscale": "yes"}, 2.0, 0.0),
        ({"upscale": 3}, 3.0, 0.0),
        ({"upscale": 3, "highres_fix": "yes"}, 3.0, 0.4),
    ],
)
def test_upscale_and_highres_fix_of_the_json_calls(machine, validate, fields, factor, denoise):
    body = {"prompt": "a", "model_id": "small_sd15", "guidance_scale": 4}
    graph = compiled(json.dumps(body | fields), machine).graph
    validate(graph)
    hires = inputs(graph, "hires")
    assert (hires["factor"], hires["denoise"], hires["cfg"]) == (factor, denoise, 4.0)
    assert "hires" not in compiled(json.dumps(body), machine).graph


def test_one_strength_is_used_for_all(machine):
    body = {"prompt": "a", "model_id": "small_sd15", "lora_model": "849330,861629"}
    for strength, written in ((None, "1, 1"), ("0.5", "0.5, 0.5"), ("0.5,1", "0.5, 1")):
        graph = compiled(json.dumps(body | {"lora_strength": strength}), machine).graph
        assert inputs(graph, "loras")["strengths"] == written


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ("", (512, 512)),
        ("ar=portrait", (456, 576)),
        ("ar=landscape", (576, 456)),
        ("ar=16:9", (680, 384)),
        ("ar=anamorphic", (792, 328)),
        ("ar=16:9\nw=640", (640, 360)),
        ("ar=16:9\nh=360", (640, 360)),
        ("ar=16:9\nw=320\nh=512", (320, 512)),
    ],
)
def test_the_canvas_has_the_shape_of_ar_and_the_area_of_512x512(machine, settings, size):
    canvas = inputs(compiled(f"a\n{settings}", machine).graph, "canvas")
    assert (canvas["width"], canvas["height"]) == size


def test_inpaint_and_image_to_image_of_the_json_calls(machine, validate):
    picture = {
        "prompt": "a",
        "model_id": "small_sd15",
        "init_image": "https://x.y/portrait.png?z=1",
    }
    graph = compiled(json.dumps(picture | {"strength": 0.3, "samples": 2}), machine).graph
    validate(graph)
    assert inputs(graph, "scheduler")["denoise"] == 0.3
    assert inputs(graph, "batch")["amount"] == 2
    graph = compiled(json.dumps(picture | {"mask_image": "mask.png", "steps": 21}), machine).graph
    validate(graph)
    assert inputs(graph, "scheduler")["steps"] == 21
    assert inputs(graph, "mask")["channel"] == "red"


def test_several_controlnets_have_a_weight_each(machine, validate):
    text = "a --controlnets pose pose --controlnet_weights 0.5 0.75 --control_guidance_end 0.6"
    graph = compiled(text, machine).graph
    validate(graph)
    found = [inputs(graph, key) for key in ("control_1", "control_2")]
    assert [each["strength"] for each in found] == [0.5, 0.75]
    assert [each["end_percent"] for each in found] == [0.6, 0.6]
    assert found[1]["positive"] == ["control_1", 0]


def test_embeddings_are_spelled_as_core_reads_them(machine):
    library = replace(machine, find=lambda name, kind: f"{name}.pt")
    graph = compiled("scene <easy>\nnegative_prompt=<badhandv4>, (bad:1.2)", library).graph
    assert inputs(graph, "people")["text"] == "scene embedding:easy.pt"
    assert inputs(graph, "people")["negative"] == "embedding:badhandv4.pt, (bad:1.2)"


def test_faces_get_people_and_the_recipes_own_sampling(machine, validate):
    text = "s BREAK c BREAK a\ncfg_scale=3\nsteps=9\ninpaint_faces=true\nface_correct=true\nface_swap=true"
    graph = compiled(text, machine).graph
    validate(graph)
    for key in ("faces", "face_swap"):
        each = inputs(graph, key)
        assert (each["cfg"], each["steps"], each["people"]) == (3.0, 9, ["people", 3])
    assert inputs(graph, "restore")["people"] == ["people", 3]
    order = ["faces", "restore", "face_swap", "save"]
    assert [key for key in graph if key in order] == order


def test_a_mask_file_is_cut_as_its_picture_is(machine, validate):
    body = {"prompt": "a", "model_id": "small_sd15", "init_image": "portrait.png",
            "mask_image": "mask.png", "width": 512, "height": 512}  # fmt: skip
    graph = compiled(json.dumps(body), machine).graph
    validate(graph)
    mask = inputs(graph, inputs(graph, "repaint")["mask"][0])
    assert (mask["resize_type.match"], mask["resize_type.crop"]) == (["working_size", 0], "center")
