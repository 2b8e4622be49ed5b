"""Defaults where a recipe says nothing, and which of them act."""

import math
from dataclasses import replace

from .families import ModelFamily
from .recipe import Recipe, Service, Task
from .schedulers import UnknownSchedulerError, find
from .settings import ASTRIA_FLAGS, ASTRIA_SETTINGS, JSON_FIELDS

# Astria documents no default but the denoise; these are ours, and not tuned on real weights.
_ASTRIA = {
    "pictures": 1,
    "steps": 30,
    "cfg": 7.0,
    "scheduler": "dpm++sde_karras",
    "use_lpw": True,
    "hires_denoise": 0.4,
    "hires_cfg": 5.5,
    "controlnet_scale": 1.0,
    "guidance_end": 1.0,
}
_LORA_MULTI = {
    "pictures": 1,
    "steps": 30,
    "cfg": 7.5,
    "scheduler": "UniPCMultistepScheduler",
    "karras": True,
    "token_merging": True,
    "enhance": True,
    "clip_skip": 1,
    "upscale": 1,
    "hires_denoise": 0.4,
}
_SIDE = 512
# Astria's own examples for `portrait` are 512x640; the wide ones are cinema's formats.
_RATIOS = {"1:1": 1.0, "portrait": 0.8, "16:9": 16 / 9, "landscape": 1.25, "anamorphic": 2.39}


def fill_defaults(
    recipe: Recipe, seed: int, family: ModelFamily | None = None
) -> tuple[Recipe, dict[str, object]]:
    """The recipe with every default filled in, and those of them that act, under the service's own
    names of the settings.

    `seed` stands in for a seed that is not given. Width and height stay unset where the input picture
    decides them. A `family` has steps, cfg and size of its own, and a sampler where none is named.
    """
    wanted: dict[str, object] = dict(_ASTRIA if recipe.service is Service.ASTRIA else _LORA_MULTI)
    if family:
        for field in ("scheduler", "karras", "token_merging", "clip_skip"):
            wanted.pop(field, None)
        cfg = recipe.cfg if recipe.cfg is not None else family.cfg
        wanted |= {"steps": family.steps, "cfg": family.cfg}
        if "hires_cfg" in wanted:
            wanted["hires_cfg"] = cfg
    wanted["seed"] = seed
    if is_image_to_image(recipe) or recipe.only_upscale:
        wanted["denoise"] = 0.8 if recipe.service is Service.ASTRIA else 0.7
    if recipe.input_image is None or is_lora_multi_text(recipe):
        wanted |= _canvas(recipe, family.side if family else _SIDE)
    acted = {name: value for name, value in wanted.items() if getattr(recipe, name) is None}
    full = replace(recipe, **acted)
    names, waiting = service_names(recipe), idle(full)
    return full, {
        names.get(name, name): value for name, value in acted.items() if name not in waiting
    }


def idle(recipe: Recipe) -> dict[str, str]:
    """Recipe fields that can do nothing beside the others of a filled recipe, and why."""
    found: dict[str, str] = {}

    def wait(why: str, *fields: str) -> None:
        found.update(dict.fromkeys(fields, why))

    if not (recipe.controlnet or recipe.controlnets):
        wait("there is no controlnet", "controlnet_scale", "controlnet_weights", "guidance_end")
    elif recipe.controlnet_weights:
        wait("--controlnet_weights says it", "controlnet_scale")
    if not (recipe.hires_fix or recipe.highres_fix or recipe.tiled_upscale):
        wait("hires_fix is off", "hires_denoise", "hires_cfg")
    if not recipe.outpaint:
        wait("there is no --outpaint", "outpaint_width", "outpaint_height", "outpaint_prompt")
    posed = any(each.startswith("pose") for each in asked_controls(recipe))
    if not (posed or keeps_background(recipe)):
        wait("no pose is read", "on_mismatch", "on_nobody", "estimator")
    if not recipe.mask_prompt:
        wait("there is no --mask_prompt", "mask_negative", "mask_invert", "mask_dilate")
    if not recipe.safety_checker:
        wait("safety_checker is off", "safety_checker_type")
    if not (is_image_to_image(recipe) or only_the_input(recipe)):
        wait("sampling starts from noise", "denoise")
    if not only_the_input(recipe):
        wait("there is no input picture", "only_upscale")
    try:
        scheduler = find(recipe.scheduler or "")
    except UnknownSchedulerError:  # refused elsewhere
        return found
    if scheduler.karras is not None:
        wait(f"{scheduler.name} has its own noise levels", "karras")
    if not scheduler.stochastic:
        wait("it is for DPMSolverMultistepScheduler", "algorithm")
    return found


def is_image_to_image(recipe: Recipe) -> bool:
    """Whether sampling starts from the input picture rather than from noise."""
    if recipe.service is Service.LORA_MULTI:
        return recipe.task is not Task.TEXT
    if recipe.input_image is None:
        return False
    controlled = bool(recipe.controlnet or recipe.controlnets)
    return not (controlled and recipe.controlnet_txt2img)


def only_the_input(recipe: Recipe) -> bool:
    """Whether the input picture is upscaled or outpainted as it is: `--only_upscale`, or `--outpaint`
    with denoising_strength 0."""
    if recipe.input_image is None:
        return False
    return bool(recipe.only_upscale or (recipe.outpaint and recipe.denoise == 0))


def is_lora_multi_text(recipe: Recipe) -> bool:
    return recipe.service is Service.LORA_MULTI and recipe.task is Task.TEXT


def asked_controls(recipe: Recipe) -> tuple[str, ...]:
    """The ControlNets' kinds, in order."""
    return recipe.controlnets or ((recipe.controlnet,) if recipe.controlnet else ())


def keeps_background(recipe: Recipe) -> bool:
    """Astria's mode 3: an empty base and a picture; only the people in it are painted again."""
    masked = recipe.mask_image or recipe.mask_prompt
    if not recipe.people or masked or not is_image_to_image(recipe):
        return False
    return not recipe.parts.base.text


def _canvas(recipe: Recipe, side: int) -> dict[str, int]:
    if recipe.service is Service.LORA_MULTI:
        return {"width": side, "height": side}
    ratio = _RATIOS[recipe.aspect or "1:1"]
    width, height = recipe.width, recipe.height
    if width is None and height is None:
        return {
            "width": _eighth(side * math.sqrt(ratio)),
            "height": _eighth(side / math.sqrt(ratio)),
        }
    return {
        "width": width or _eighth((height or side) * ratio),
        "height": height or _eighth((width or side) / ratio),
    }


def _eighth(pixels: float) -> int:
    return max(16, round(pixels / 8) * 8)


def service_names(recipe: Recipe) -> dict[str, str]:
    """Recipe field -> the setting's name at the recipe's service."""
    if recipe.service is Service.LORA_MULTI:
        table = [setting for setting in JSON_FIELDS if recipe.task in setting.tasks]
    else:
        table = [*ASTRIA_SETTINGS, *ASTRIA_FLAGS]
    names: dict[str, str] = {}
    for setting in table:
        if setting.field:
            names.setdefault(setting.field, setting.key)
    return names
