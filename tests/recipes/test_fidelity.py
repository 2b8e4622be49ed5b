"""What docs/recipes.md says of each parameter: one that works changes the graph, and no other does."""

import json

import pytest
from ensemble_portraits.ensemble.recipes.settings import (
    ASTRIA_FLAGS,
    ASTRIA_SETTINGS,
    JSON_FIELDS,
    Setting,
    Works,
)

from .compiling import compiled

PICTURE = {"input_image": "portrait.png"}
# Setting -> a value, and the settings beside which it does something.
ASTRIA = {
    "num_images": ("2", {}),
    "negative_prompt": ("ugly", {}),
    "seed": ("5", {}),
    "steps": ("9", {}),
    "cfg_scale": ("3", {}),
    "controlnet": ("pose", {}),
    "input_image_url": ("https://h/portrait.png", {}),
    "input_image": ("portrait.png", {}),
    "mask_image_url": ("https://h/mask.png", PICTURE),
    "mask_image": ("mask.png", PICTURE),
    "denoising_strength": ("0.3", PICTURE),
    "controlnet_conditioning_scale": ("0.4", {"controlnet": "pose"}),
    "controlnet_txt2img": ("true", {"controlnet": "pose", **PICTURE}),
    "super_resolution": ("true", {}),
    "inpaint_faces": ("true", {}),
    "face_correct": ("true", {}),
    "film_grain": ("true", {}),
    "face_swap": ("true", {}),
    "hires_fix": ("true", {}),
    "prompt_expansion": ("true", {}),
    "ar": ("16:9", {}),
    "scheduler": ("euler", {}),
    "color_grading": ("Ektar", {}),
    "use_lpw": ("false", {}),
    "w": ("256", {}),
    "h": ("256", {}),
    "backend_version": ("1", {}),
    "style": ("Cinematic", {}),
}
CANVAS = {"w": "256", "h": "256"}
FLAGS = {
    "mask_prompt": ("foreground", "", PICTURE),
    "mask_negative": ("clothes", "--mask_prompt foreground", PICTURE),
    "mask_invert": ("", "--mask_prompt foreground", PICTURE),
    "mask_dilate": ("-20", "--mask_prompt foreground", PICTURE),
    "hires_denoising_strength": ("0.2", "", {"hires_fix": "true"}),
    "hires_cfg_scale": ("3", "", {"hires_fix": "true"}),
    "controlnets": ("pose tile", "", PICTURE),
    "controlnet_weights": ("0.5", "--controlnets pose", {}),
    "control_guidance_end": ("0.5", "", {"controlnet": "pose"}),
    "outpaint": ("center", "--outpaint_width 512", CANVAS),
    "outpaint_width": ("768", "--outpaint center --outpaint_height 512", CANVAS),
    "outpaint_height": ("768", "--outpaint center --outpaint_width 512", CANVAS),
    "outpaint_prompt": ("fields", "--outpaint center --outpaint_width 512", CANVAS),
    "tiled_upscale": ("", "", {}),
    "tiled_upscale_v2": ("", "", {}),
    "only_upscale": ("", "", PICTURE),
    "on_mismatch": ("crop", "", {"controlnet": "pose", **PICTURE}),
    "on_nobody": ("default pose", "", {"controlnet": "pose", **PICTURE}),
    "estimator": ("openpose", "", {"controlnet": "pose", **PICTURE}),
    "allow_approximate": ("", "", {"scheduler": "lcm"}),
    "resemblance": ("0.5", "", {}),
    "upscale_v4": ("", "", {}),
    "improve_similarity": ("0.5", "", {}),
    "fix_bindi": ("", "", {}),
    "remove_background": ("", "", {}),
    "faceid_portrait": ("", "", {}),
}
INIT = {"init_image": "portrait.png"}
FIELDS = {
    "key": ("secret", {}),
    "model_id": ("paper_dolls", {}),
    "prompt": ("b", {}),
    "negative_prompt": ("ugly", {}),
    "width": (256, {}),
    "height": (256, {}),
    "samples": (2, {}),
    "num_inference_steps": (9, {}),
    "steps": (9, {**INIT, "mask_image": "mask.png"}),
    "safety_checker": ("yes", {}),
    "safety_checker_type": ("blur", {"safety_checker": "yes"}),
    "enhance_prompt": ("no", {}),
    "seed": (5, {}),
    "guidance_scale": (3, {}),
    "multi_lingual": ("yes", {}),
    "panorama": ("yes", {}),
    "self_attention": ("yes", {}),
    "upscale": (2, {}),
    "embeddings_model": ("small_embedding", {}),
    "lora_model": ("849330", {}),
    "lora_strength": ("0.5", {"lora_model": "849330"}),
    "scheduler": ("EulerDiscreteScheduler", {}),
    "ensemble_allow_approximate": ("yes", {}),
    "clip_skip": (2, {}),
    "tomesd": ("no", {}),
    "use_karras_sigmas": ("no", {}),
    "algorithm_type": ("dpmsolver+++", {"scheduler": "DPMSolverMultistepScheduler"}),
    "vae": ("small_vae", {}),
    "highres_fix": ("yes", {}),
    "init_image": ("portrait.png", {}),
    "mask_image": ("mask.png", INIT),
    "strength": (0.3, INIT),
    "webhook": ("http://h/", {}),
    "track_id": ("7", {}),
    "base64": ("yes", {}),
    "temp": ("yes", {}),
}


def text(prompt: str, settings: dict[str, str]) -> str:
    return "\n".join([prompt, *(f"{key}={value}" for key, value in settings.items())])


def body(**fields) -> str:
    base = {"prompt": "una mujer en el jardin", "model_id": "small_sd15"}
    return json.dumps({**base, **fields})


def settings_and_texts():
    """Each setting with a recipe, and the same recipe with it."""
    prompt = "s, (word:1.2) BREAK c BREAK a"
    for setting in ASTRIA_SETTINGS:
        value, beside = ASTRIA[setting.key]
        yield setting, text(prompt, beside), text(prompt, {**beside, setting.key: value})
    for setting in ASTRIA_FLAGS:
        value, others, beside = FLAGS[setting.key]
        plain, flagged = f"s {others}".strip(), f"s {others} --{setting.key} {value}"
        tail = " BREAK c BREAK a"
        yield setting, text(plain + tail, beside), text(flagged + tail, beside)
    for setting in JSON_FIELDS:
        value, beside = FIELDS[setting.key]
        yield (
            setting,
            body(**beside),
            body(**beside, **{setting.key: value})
            if (setting.key not in ("prompt", "model_id"))
            else body(**{setting.key: value}),
        )


def graph_of(recipe: str, machine) -> object:
    """The graph; of a recipe that is refused or lacks something, its words."""
    try:
        return compiled(recipe, machine).graph
    except ValueError as error:
        return str(error)


CASES = list(settings_and_texts())


@pytest.mark.parametrize(
    ("setting", "without", "with_it"),
    CASES,
    ids=[f"{n}-{case[0].key}" for n, case in enumerate(CASES)],
)
def test_what_the_page_says_of_it_is_true(machine, setting: Setting, without, with_it):
    changed = graph_of(with_it, machine) != graph_of(without, machine)
    says = setting.fidelity
    assert changed == (says in (Works.YES, Works.NEAR, Works.OURS)), (setting.key, says)
