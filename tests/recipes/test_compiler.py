import base64
import json
from dataclasses import replace
from io import BytesIO

import pytest
from ensemble_portraits.ensemble.recipes.build import Options, OutputSize
from ensemble_portraits.ensemble.recipes.compiler import Compiled, compile_recipe
from ensemble_portraits.ensemble.recipes.editor import to_editor
from ensemble_portraits.ensemble.recipes.library import MissingError
from ensemble_portraits.ensemble.recipes.problems import RecipeError
from ensemble_portraits.ensemble.recipes.reading import read_recipe
from ensemble_portraits.ensemble.recipes.shrink import Shrink, shrink_recipe

from .conftest import EXAMPLES

NAMES = ("multi_person.txt", "masked_portrait.txt", "lora_multi.json")
SEEDED = Options(seed=7, skip_missing=True)


def compiled(text: str, machine, options: Options = SEEDED) -> Compiled:
    return compile_recipe(read_recipe(text).require(), machine, options)


def inputs(graph: dict, key: str) -> dict:
    return graph[key]["inputs"]


def classes(graph: dict) -> list[str]:
    return [node["class_type"] for node in graph.values()]


@pytest.mark.parametrize("name", NAMES)
def test_documented_examples_validate_and_match_their_snapshots(name, machine, validate, snapshot):
    found = compiled((EXAMPLES / name).read_text(), machine)
    validate(found.graph)
    assert [each.folder for each in found.missing] in ([], ["nodes"] * len(found.missing))
    assert found.graph == snapshot(name="graph")
    assert found.report == snapshot(name="report")


@pytest.mark.parametrize(
    ("text", "present", "absent"),
    [
        # The documented modes of multi-person, by their numbers there.
        ("s BREAK c BREAK a <lora:849330:1> BREAK b\ninput_image=skeleton.png\ncontrolnet=pose\n"
         "controlnet_txt2img=true", {"PoseControlInput", "EmptyLatentImage"}, {"VAEEncode"}),
        ("BREAK BREAK a BREAK b\ninput_image=portrait.png\ncontrolnet_txt2img=false",
         {"PoseControlInput", "MaskComposite", "InpaintModelConditioning"},
         {"ControlNetApplyAdvanced", "EmptyLatentImage"}),
        ("s BREAK c BREAK a BREAK b\ncontrolnet_txt2img=true\nw=512\nh=640",
         {"EmptyLatentImage"}, {"PoseControlInput", "LoadImage"}),
        ("DALLE: s BREAK c BREAK a", {"EmptyLatentImage"}, {"PoseControlInput"}),
        ("s BREAK c BREAK a\ninput_image=portrait.png\ncontrolnet_txt2img=true",
         {"VAEEncode"}, {"PoseControlInput", "EmptyLatentImage", "InpaintModelConditioning"}),
        ("s BREAK c BREAK a BREAK b\ncontrolnet=pose", {"PoseControlInput"}, {"LoadImage"}),
        ("plain\ninput_image=portrait.png\nmask_image=mask.png",
         {"LoadImageMask", "DifferentialDiffusion"}, {"MaskFromPrompt"}),
        ("BREAK BREAK a BREAK b\ninput_image=portrait.png\nmask_image=mask.png",
         {"LoadImageMask", "InpaintModelConditioning"}, {"PoseControlInput", "MaskComposite"}),
        ("plain\ncontrolnet=canny\ninput_image=portrait.png", {"Canny"}, {"PoseControlInput"}),
    ],
)  # fmt: skip
def test_documented_modes(text, present, absent, machine, validate):
    graph = compiled(text, machine).graph
    validate(graph)
    assert present <= set(classes(graph))
    assert not absent & set(classes(graph))


def test_a_scheduler_without_its_ending_is_the_same(machine, validate):
    body = {"prompt": "a", "model_id": "small_sd15", "scheduler": "UniPCMultistep"}
    graph = compiled(json.dumps(body), machine).graph
    validate(graph)
    assert inputs(graph, "scheduler")["name"] == "UniPCMultistepScheduler"


def test_a_missing_picture_is_told_by_the_services_own_field(machine):
    for text, field in (
        ('{"prompt": "a", "model_id": "small_sd15", "init_image": "gone.png"}', "init_image"),
        ("a\ninput_image=gone.png", "input_image"),
    ):
        with pytest.raises(MissingError) as error:
            compiled(text, machine, Options())
        assert [each.setting for each in error.value.missing] == [field]


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


def test_a_person_of_another_checkpoint_is_painted_in_a_second_pass(machine, validate):
    found = compiled(
        "scene BREAK c BREAK ann <lora:small_sd15:1> BREAK bob <lora:849330:1>", machine
    )
    validate(found.graph)
    graph = found.graph
    assert "small_sd15" not in inputs(graph, "people")["text"]
    assert "<lora:849330:1>" in inputs(graph, "people")["text"]
    assert inputs(graph, "person_1_prompt")["text"] == "ann, c"
    assert inputs(graph, "person_1_composite")["mask"] == ["person_1_mask", 0]
    assert "person_2_checkpoint" not in graph


def test_two_people_of_other_checkpoints_lose_their_tags_and_nothing_else(machine):
    text = "scene BREAK c BREAK ann <lora:small_sd15:1> BREAK bob <lora:small_sd15:0.5>, tall"
    graph = compiled(text, machine).graph
    assert inputs(graph, "people")["text"].split() == (
        ["scene", "BREAK", "c", "BREAK", "ann", "BREAK", "bob", ",", "tall"]
    )
    assert inputs(graph, "person_2_prompt")["text"] == "bob, tall, c"


def test_several_controlnets_have_a_weight_each(machine, validate):
    text = "a --controlnets pose pose --controlnet_weights 0.5 0.75 --control_guidance_end 0.6"
    graph = compiled(text, machine).graph
    validate(graph)
    found = [inputs(graph, key) for key in ("control_1", "control_2")]
    assert [each["strength"] for each in found] == [0.5, 0.75]
    assert [each["end_percent"] for each in found] == [0.6, 0.6]
    assert found[1]["positive"] == ["control_1", 0]


def test_everything_missing_comes_in_one_answer(machine):
    body = {
        "prompt": "<lora:nobody:1>", "model_id": "no-such", "vae": "none-such",
        "lora_model": "a,849330,b", "embeddings_model": "e", "init_image": "https://h/gone.png",
        "scheduler": "EulerDiscreteScheduler",
    }  # fmt: skip
    with pytest.raises(MissingError) as error:
        compiled(json.dumps(body), machine, Options())
    found = {(each.folder, each.name) for each in error.value.missing}
    assert found == {
        ("checkpoints", "no-such"),
        ("vae", "none-such"),
        ("loras", "a"),
        ("loras", "b"),
        ("loras", "nobody"),
        ("embeddings", "e"),
        ("images", "gone.png"),
    }
    assert "section 'loras'" in str(error.value)


def test_what_cannot_be_built_is_refused_with_its_reason(machine):
    people = " BREAK ".join(["s", "c", *["p"] * 100])
    for text, words in (
        (people, "100 people"),
        ("a\nscheduler=tcd", "no true equivalent"),
        ("a\nscheduler=banana", "is not a hosted scheduler"),
        ("a --mask_prompt face", "needs an input picture"),
        ("a\nmask_image=mask.png", "needs an input picture"),
        ("a\ncontrolnet=depth\ninput_image=portrait.png", "depth has no counterpart"),
    ):
        with pytest.raises(RecipeError, match=words):
            compiled(text, machine)


def test_skip_missing_leaves_out_and_says_so(machine, validate):
    found = compiled(json.dumps({"prompt": "a", "model_id": "small_sd15", "lora_model": "a,849330"}),
                     machine)  # fmt: skip
    validate(found.graph)
    assert inputs(found.graph, "loras")["loras"] == "849330"
    assert len(found.report["left_out"]) == 1
    assert "'a'" in found.report["left_out"][0]


_OUTSIDE = ("../secret", "..\\secret", "a/../../secret", "/etc/passwd")
_NAME_FIELDS = {
    "model_id": {},
    "vae": {},
    "lora_model": {},
    "embeddings_model": {},
    "init_image": {},
    "mask_image": {"init_image": "portrait.png"},
}
_NAME_LINES = (
    "a\ninput_image={}",
    "a\ninput_image_url=https://host/{}",
    "a\ninput_image=portrait.png\nmask_image={}",
    "a <{}>",
    "s BREAK c BREAK a <lora:{}:1>",
)


@pytest.mark.parametrize("outside", _OUTSIDE)
def test_no_name_field_leads_out_of_its_folder(machine, outside):
    texts = [
        json.dumps({"prompt": "a", "model_id": "small_sd15", **others, field: outside})
        for field, others in _NAME_FIELDS.items()
    ]
    for text in [*texts, *(line.format(outside) for line in _NAME_LINES)]:
        with pytest.raises((RecipeError, MissingError)):
            compiled(text, machine, Options())


def test_a_person_without_text_is_told(machine, validate):
    found = compiled("s BREAK c BREAK BREAK bob", machine)
    validate(found.graph)
    assert "prompt: person 1 has no text of their own" in found.report["notes"]


def test_a_500_lora_list_names_each_missing_one_once(machine):
    body = {"prompt": "a", "lora_model": ",".join(f"no{i % 250}" for i in range(500))}
    with pytest.raises(MissingError) as error:
        compiled(json.dumps(body), machine, Options())
    assert len(error.value.missing) == 250


def test_data_urls_become_uploads(machine, validate):
    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    found = compiled(
        json.dumps({"prompt": "a", "model_id": "small_sd15", "init_image": url}), machine
    )
    [(name, content)] = found.uploads.items()
    assert content == buffer.getvalue()
    assert inputs(found.graph, "input")["image"] == name
    # A photo is longer than any text may be.
    photo = "data:image/jpeg;base64," + base64.b64encode(b"\xff" * 3_000_000).decode()
    for text in (
        json.dumps({"prompt": "a", "model_id": "small_sd15", "init_image": photo}),
        json.dumps({"prompt": "a", "model_id": "small_sd15", "init_image": photo}).replace(
            "/", "\\/"
        ),
        f"a\ninput_image={photo}",
    ):
        [content] = compiled(text, machine).uploads.values()
        assert content == b"\xff" * 3_000_000
    broken = {"prompt": "a", "init_image": "data:image/png;base64,@@@"}
    with pytest.raises(RecipeError, match="not base64"):
        compiled(json.dumps(broken), machine)


def test_embeddings_are_spelled_as_core_reads_them(machine):
    library = replace(machine, find=lambda name, kind: f"{name}.pt")
    graph = compiled("scene <easy>\nnegative_prompt=<badhandv4>, (bad:1.2)", library).graph
    assert inputs(graph, "people")["text"] == "scene embedding:easy.pt"
    assert inputs(graph, "people")["negative"] == "embedding:badhandv4.pt, (bad:1.2)"


def test_kept_pixels_are_pasted_back_on_request(machine, validate):
    text = "a --mask_prompt foreground --mask_invert\ninput_image=portrait.png"
    options = replace(SEEDED, output_size=OutputSize.INPUT)
    assert "EnsemblePasteBack" not in classes(compiled(text, machine).graph)
    graph = compiled(text, machine, options).graph
    validate(graph)
    assert inputs(graph, "paste_back")["original"] == ["input", 0]


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


def test_every_default_that_acted_is_reported(machine):
    found = compiled("a\ninput_image=portrait.png\nsteps=5", machine)
    assert found.report["defaults"] == {
        "num_images": 1,
        "seed": 7,
        "cfg_scale": 7.0,
        "scheduler": "dpm++sde_karras",
        "use_lpw": True,
        "denoising_strength": 0.8,
    }
    found = compiled("a\ninput_image=portrait.png\nhires_fix=true\ncontrolnet=pose", machine)
    assert (
        found.report["defaults"].items()
        >= {
            "hires_denoising_strength": 0.4,
            "hires_cfg_scale": 5.5,
            "controlnet_conditioning_scale": 1.0,
            "control_guidance_end": 1.0,
        }.items()
    )


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("a --mask_negative clothes", "mask_negative"),
        ("a --mask_dilate 5", "mask_dilate"),
        ("a --hires_denoising_strength 0.3", "hires_denoising_strength"),
        ("a --controlnet_weights 0.5", "controlnet_weights"),
        ("a\ncontrolnet_conditioning_scale=0.5", "controlnet_conditioning_scale"),
        ("a\ndenoising_strength=0.5", "denoising_strength"),
        ('{"prompt": "a", "model_id": "small_sd15", "algorithm_type": "dpmsolver+++"}',
         "algorithm_type"),
        ('{"prompt": "a", "model_id": "small_sd15", "use_karras_sigmas": "yes", "scheduler": '
         '"DDIMScheduler"}', "use_karras_sigmas"),
        ('{"prompt": "a", "model_id": "small_sd15", "safety_checker_type": "blur"}',
         "safety_checker_type"),
    ],
)  # fmt: skip
def test_a_setting_that_can_do_nothing_is_told(machine, text, setting):
    notes = compiled(text, machine).report["notes"]
    assert [note for note in notes if note.startswith(setting) and "does nothing" in note]
    assert not [note for note in compiled("a", machine).report["notes"] if "does nothing" in note]


def test_a_mask_that_keeps_nothing_is_told(machine):
    text = "a --mask_prompt foreground\ninput_image=portrait.png\ncontrolnet=pose\n"
    told = "mask: sampling starts from noise, so nothing is kept"
    assert told in compiled(text + "controlnet_txt2img=true", machine).report["notes"]
    assert told not in compiled(text, machine).report["notes"]


@pytest.mark.parametrize(
    "text",
    [
        (EXAMPLES / "masked_portrait.txt").read_text().replace("d6ff3soq5pok", "gone"),
        "a\ninput_image=gone.png\nmask_image=mask.png",
        "a\ninput_image=gone.png\ncontrolnet=canny",
    ],
)
def test_a_picture_that_is_not_here_is_missing_not_unnamed(machine, text):
    with pytest.raises(MissingError, match="gone"):
        compiled(text, machine, Options())


def test_a_mask_file_is_cut_as_its_picture_is(machine, validate):
    body = {"prompt": "a", "model_id": "small_sd15", "init_image": "portrait.png",
            "mask_image": "mask.png", "width": 512, "height": 512}  # fmt: skip
    graph = compiled(json.dumps(body), machine).graph
    validate(graph)
    mask = inputs(graph, inputs(graph, "repaint")["mask"][0])
    assert (mask["resize_type.match"], mask["resize_type.crop"]) == (["working_size", 0], "center")


def test_a_cut_picture_is_not_pasted_into_the_whole_one(machine):
    text = "a --mask_prompt foreground\ninput_image=portrait.png\nw=512\nh=512"
    found = compiled(text, machine, replace(SEEDED, output_size=OutputSize.INPUT))
    assert inputs(found.graph, "paste_back")["original"] == ["working_size", 0]
    assert any(note.startswith("output_size:") for note in found.report["notes"])


def test_shrinking_changes_size_and_steps_and_nothing_else(machine):
    recipe = read_recipe((EXAMPLES / "multi_person.txt").read_text()).require()
    small, changes = shrink_recipe(recipe, Shrink(192, 128, 2))
    assert small == replace(recipe, width=192, height=128, steps=2)
    assert changes == {"width": "768 -> 192", "height": "512 -> 128", "steps": "default -> 2"}
    assert shrink_recipe(small, Shrink(192, 128, 2)) == (small, {})
    one = compile_recipe(recipe, machine, SEEDED).graph
    two = compile_recipe(small, machine, SEEDED).graph
    assert classes(one) == classes(two)


def test_the_editor_form_keeps_values_in_the_editors_order_and_links_run_right(machine):
    text = "a --mask_prompt face\ninput_image=portrait.png\nmask_image=mask.png"
    graph = compiled(text, machine).graph
    nodes = dict(zip(graph, to_editor(graph, machine.nodes)["nodes"], strict=True))
    # The upload button stands behind all other widgets.
    assert nodes["mask"]["widgets_values"] == ["mask.png", "red", "image"]
    assert nodes["sampler"]["widgets_values"][:3] == [True, 7, "fixed"]
    column = {key: node["pos"][0] for key, node in nodes.items()}
    for key, node in graph.items():
        sources = [value[0] for value in node["inputs"].values() if isinstance(value, list)]
        assert all(column[source] < column[key] for source in sources)
    # Loaders stand beside what they feed, not all at the start.
    assert column["mask"] == column["mask_size"] - column["people"]
    assert len({(node["pos"][0], node["pos"][1]) for node in nodes.values()}) == len(nodes)
