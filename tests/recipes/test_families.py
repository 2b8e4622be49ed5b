"""Recipes whose model is Z-Image, Krea 2, Flux or Qwen-Image, as graphs that ComfyUI takes."""

import json
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.recipes.build import Options
from ensemble_portraits.ensemble.recipes.compiler import compile_recipe
from ensemble_portraits.ensemble.recipes.families import FAMILIES, recognise
from ensemble_portraits.ensemble.recipes.library import MissingError
from ensemble_portraits.ensemble.recipes.problems import RecipeError
from ensemble_portraits.ensemble.recipes.reading import read_recipe

from .compiling import classes, inputs

FILES = {
    "diffusion_models": (
        "z_image_turbo_bf16.safetensors", "krea2_turbo_fp8_scaled.safetensors", "flux1-dev.safetensors",
        "flux-2-klein-4b.safetensors", "qwen_image_fp8_e4m3fn.safetensors", "mystery.safetensors",
    ),
    "text_encoders": (
        "qwen_3_4b.safetensors", "qwen3vl_4b_fp8_scaled.safetensors", "clip_l.safetensors",
        "t5xxl_fp16.safetensors", "qwen_2.5_vl_7b_fp8_scaled.safetensors",
    ),
    "vae": ("ae.safetensors", "qwen_image_vae.safetensors", "flux2-vae.safetensors"),
    "controlnet": (), "model_patches": (),
}  # fmt: skip
PEOPLE = "a park BREAK photo BREAK a (tall:1.2) woman <lora:849330:1> BREAK a man <lora:861629:1>"


@pytest.fixture
def dits(comfyui, tmp_path):
    """The machine of the tests with empty files of the public names, and an alias for a set."""
    import folder_paths
    from ensemble_portraits.ensemble.server.library import this_machine

    before = {kind: list(folder_paths.get_folder_paths(kind)) for kind in FILES}
    for kind, names in FILES.items():
        (tmp_path / kind).mkdir()
        for name in names:
            (tmp_path / kind / name).touch()
        folder_paths.add_model_folder_path(kind, str(tmp_path / kind))
        folder_paths.filename_list_cache.pop(kind, None)
    yield Machine(this_machine, tmp_path)
    for kind, places in before.items():
        folder_paths.folder_names_and_paths[kind][0][:] = places
        folder_paths.filename_list_cache.pop(kind, None)


class Machine:
    def __init__(self, see, folder: Path):
        self.see, self.folder = see, folder

    def compiled(self, text: str, model: str | None = None, **options):
        recipe = read_recipe(text).require()
        return compile_recipe(recipe, self.see(), Options(seed=7, checkpoint=model, **options))

    def add(self, kind: str, name: str) -> None:
        import folder_paths

        (self.folder / kind / name).parent.mkdir(exist_ok=True)
        (self.folder / kind / name).touch()
        folder_paths.filename_list_cache.pop(kind, None)

    def alias(self, **checkpoints: str) -> None:
        from ensemble_portraits.ensemble.lora.aliases import alias_path

        content = json.loads(alias_path().read_text())
        content["checkpoints"] |= checkpoints
        alias_path().write_text(json.dumps(content))


@pytest.mark.parametrize(
    "model", [name.removesuffix(".safetensors") for name in FILES["diffusion_models"][:5]]
)
def test_a_prompt_of_people_compiles_to_the_familys_graph(dits, validate, snapshot, model):
    found = dits.compiled(PEOPLE, model)
    validate(found.graph)
    assert found.graph == snapshot(name="graph")
    assert found.report == snapshot(name="report")


def test_peoples_pictures_go_along_where_the_family_takes_them(dits, validate):
    """And beside what they do together; elsewhere the report says that they are left out."""
    text = "a hall BREAK photo BREAK a woman <ref:portrait> BREAK a man <ref:d6ff3soq5pok5tlbcanf599vkw06> BREAK 1+2: hug"
    done = dits.compiled(text, "flux-2-klein-4b")
    validate(done.graph)
    people = done.graph["people"]["inputs"]
    assert people["text"] == text and people["vae"] == done.graph["decode"]["inputs"]["vae"]
    assert "portrait.png" in [each["file"] for each in done.report["files"]]
    gone = text.replace("<ref:portrait>", "<ref:portrai>")
    with pytest.raises(MissingError, match="'portrai' is no file in the input folder"):
        dits.compiled(gone, "flux-2-klein-4b")
    other = dits.compiled(text, "flux1-dev")
    validate(other.graph)
    assert "<ref" not in other.graph["people"]["inputs"]["text"]
    assert "vae" not in other.graph["people"]["inputs"]
    notes = " ".join(other.report["notes"])
    assert "<ref:portrait> needs people (BREAK) and a model that takes pictures" in notes
    assert "Flux.2 Klein" in notes


def test_a_json_body_names_the_model(dits, validate):
    body = {"prompt": "a (tall:1.3) woman", "negative_prompt": "blurry", "model_id": "z_image_turbo_bf16",
            "clip_skip": "2", "tomesd": "yes", "scheduler": "EulerDiscreteScheduler"}  # fmt: skip
    found = dits.compiled(json.dumps(body))
    validate(found.graph)
    assert {"UNETLoader", "CLIPLoader", "EnsembleSampler"} <= set(classes(found.graph))
    assert not {"CLIPSetLastLayer", "TomePatchModel"} & set(classes(found.graph))
    assert inputs(found.graph, "canvas")["width"] == 1024
    notes = " ".join(found.report["notes"])
    for word in ("clip_skip: ", "tomesd: ", "negative_prompt: ", "emphasis: ", "scheduler: "):
        assert word in notes


def test_what_a_family_cannot_do_is_told_or_refused(dits, validate):
    found = dits.compiled(PEOPLE + "\ncontrolnet=pose", "krea2_turbo_fp8_scaled")
    validate(found.graph)
    assert "PoseControlInput" in classes(found.graph)
    assert "ControlNetApplyAdvanced" not in classes(found.graph)
    assert "controlnet pose: Krea 2 takes no" in " ".join(found.report["notes"])
    with pytest.raises(RecipeError, match="nobody is painted by another"):
        dits.compiled("s BREAK c BREAK ann <lora:small_sd15:1>", "krea2_turbo_fp8_scaled")
    with pytest.raises(RecipeError, match="is of no model that recipes know"):
        dits.compiled("a", "mystery")


UNIONS = {
    "z_image_turbo_bf16": ("model_patches", "Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"),
    "flux1-dev": ("controlnet", "flux/FLUX.1-dev-ControlNet-Union-Pro-2.0.safetensors"),
    "qwen_image_fp8_e4m3fn": ("controlnet", "Qwen-Image-InstantX-ControlNet-Union.safetensors"),
}


@pytest.mark.parametrize("model", UNIONS)
def test_a_pose_is_followed_by_the_familys_union_controlnet(dits, validate, model):
    """That one and no other, by core's nodes, with the weight that the recipe gives; without its file
    the recipe is refused by name."""
    folder, file = UNIONS[model]
    with pytest.raises(
        MissingError, match=rf"union ControlNet: put .*[Uu]nion.* into models/{folder}"
    ):
        dits.compiled(PEOPLE + "\ncontrolnet=pose", model)
    for other in UNIONS.values():
        dits.add(*other)
    dits.add("controlnet", "flux1-union-pro.safetensors")
    dits.add("model_patches", "Z-Image-Fun-Controlnet-Union.safetensors")
    found = dits.compiled(PEOPLE + "\ncontrolnet=pose\ncontrolnet_conditioning_scale=0.7", model)
    validate(found.graph)
    pose, net, control, sampler = (
        inputs(found.graph, key) for key in ("pose", "controlnet", "control", "sampler")
    )
    assert pose["people"] == 2 and control["image"] == ["pose", 0] and control["strength"] == 0.7
    assert file in net.values()
    if folder == "controlnet":
        assert control["positive"] == ["people", 1] and control["vae"] == ["model_vae", 0]
        assert sampler["positive"] == ["control", 0] and sampler["model"][0] != "control"
    else:
        assert control["model"] == ["people", 0] and control["model_patch"] == ["controlnet", 0]
        assert sampler["model"] == ["control", 0] and sampler["positive"] == ["people", 1]
    assert {"folder": folder, "name": "controlnet", "file": file} in found.report["files"]


def test_what_a_union_is_not_for_is_told(dits, validate):
    dits.add(*UNIONS["qwen_image_fp8_e4m3fn"])
    text = PEOPLE + "\n--controlnets qr pose --controlnet_weights 0.7 0.4"
    found = dits.compiled(text, "qwen_image_fp8_e4m3fn")
    validate(found.graph)
    assert inputs(found.graph, "control_2")["strength"] == 0.4
    assert "controlnet qr: Qwen-Image's union ControlNet is for" in " ".join(found.report["notes"])
    dits.add(*UNIONS["z_image_turbo_bf16"])
    text = PEOPLE + "\n--controlnets pose --control_guidance_end 0.6"
    found = dits.compiled(text, "z_image_turbo_bf16")
    assert "acts in every step, so 0.6 is 1 here" in " ".join(found.report["notes"])


def test_a_recipes_own_numbers_win(dits):
    graph = dits.compiled("a woman steps=11 cfg_scale=2 w=512 h=768", "qwen_image_fp8_e4m3fn").graph
    assert inputs(graph, "scheduler")["steps"] == 11 and inputs(graph, "sampler")["cfg"] == 2
    assert inputs(graph, "canvas")["width"] == 512


def test_a_part_that_is_missing_or_ambiguous_is_named_and_the_alias_file_decides(dits, validate):
    dits.add("text_encoders", "t5xxl_fp8.safetensors")
    with pytest.raises(MissingError, match=r"several files fit: t5xxl_fp16.*t5xxl_fp8") as caught:
        dits.compiled("a woman", "flux1-dev", skip_missing=True)
    assert 'section "checkpoints"' in str(caught.value)
    dits.alias(mine="flux1-dev + clip_l + t5xxl_fp8 + ae", two="flux1-dev + ae", one="flux1-dev")
    found = dits.compiled("a woman", "mine")
    validate(found.graph)
    assert inputs(found.graph, "clip")["clip_name2"] == "t5xxl_fp8.safetensors"
    with pytest.raises(MissingError, match=r"'two' names 2 files and Flux\.1 has 4"):
        dits.compiled("a woman", "two")
    (dits.folder / "text_encoders" / "qwen_3_4b.safetensors").unlink()
    with pytest.raises(MissingError, match=r"Z-Image Turbo needs its text encoder.*none is in"):
        dits.compiled("a woman", "z_image_turbo_bf16")


@pytest.mark.parametrize(
    ("file", "architecture", "name"),
    [
        ("a/Z-Image-Turbo.safetensors", "", "Z-Image Turbo"), ("x.safetensors", "Flux.1-dev", "Flux.1"),
        ("flux-2-klein-base-9b.sft", "", "Flux.2 Klein 9B base"), ("flux1-schnell-fp8.sft", "", "Flux.1 schnell"),
        ("flux1-krea-dev_fp8.sft", "", "Flux.1"), ("flux2_dev_fp8mixed.sft", "", "Flux.2 dev"),
        ("fluxmix.safetensors", "stable-diffusion-xl-v1-base", None), ("sd15.safetensors", "", None),
        ("calvinklein_v2.safetensors", "", None), ("kleinerFuchs.safetensors", "", None),
        ("fluxmix_sd15.safetensors", "", None), ("notz_image.safetensors", "", None),
        ("klein_9b_portraits.safetensors", "", None), ("conflux2.safetensors", "", None),
        ("my_flux_dev.safetensors", "", "Flux.1"), ("fluxdev.safetensors", "", "Flux.1"),
        ("flux1-dev.safetensors", "sd_v1-5", None), ("x.safetensors", "flux-2-klein-9b", "Flux.2 Klein 9B"),
        ("my_flux2klein.safetensors", "", "Flux.2 Klein"), ("my_flux_2024.safetensors", "", "Flux.1"),
    ],
)  # fmt: skip
def test_models_are_told_by_metadata_or_name(file, architecture, name):
    found = recognise(file, architecture)
    assert (found and found.name) == name


def test_every_family_names_what_core_has(comfyui):
    from comfy.samplers import KSampler

    import nodes

    types = {*nodes.CLIPLoader.INPUT_TYPES()["required"]["type"][0],
             *nodes.DualCLIPLoader.INPUT_TYPES()["required"]["type"][0]}  # fmt: skip
    for family in FAMILIES:
        assert family.clip_type in types and family.latent in nodes.NODE_CLASS_MAPPINGS
        assert family.sampler in KSampler.SAMPLERS and family.scheduler in KSampler.SCHEDULERS
