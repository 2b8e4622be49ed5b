"""The JSON body of stablediffusionapi.com's text2img, img2img and inpaint calls -> Recipe."""

import json
from dataclasses import replace

from ..prompt.errors import PromptError
from ..prompt.tags import take_tags
from .checking import Checker, control_character, is_unset, nearest
from .problems import Reading
from .readers import Scalar, name, names
from .recipe import Recipe, Service, Task
from .settings import JSON_ALIASES, JSON_FIELDS

_FIELDS = {setting.key: setting for setting in JSON_FIELDS}


class _Object(list):
    """The (key, value) pairs of a JSON object; two values for one key stay visible."""


def read_json(
    text: str, *, task: Task | None = None, strict: bool = False, unknown_fields: bool = False
) -> Reading:
    """Read a body. Without `task` the call is told by its pictures: `mask_image`, `init_image`. With
    `unknown_fields` those are left out with a warning."""
    checker = Checker(text, strict=strict)
    body = _load(checker)
    if body is None:
        return checker.reading(None)
    present = {key for key, value in body if value not in (None, "")}
    if task is None:
        task = Task.INPAINT if "mask_image" in present else Task.TEXT
        if task is Task.TEXT and present & {"init_image", "init_image_url"}:
            task = Task.IMAGE
    seen: dict[str, str] = {}
    for key, value in body:
        if checker.full:
            break
        if unknown_fields and JSON_ALIASES.get(key, key) not in _FIELDS:
            checker.warning(key[:60], f"unknown field, left out; {nearest(key, _FIELDS)}")
            continue
        _read_field(key, value, task, seen, checker)
    recipe = replace(Recipe(Service.LORA_MULTI, task), **checker.values)
    _check_whole(recipe, checker)
    return checker.reading(recipe)


def _load(checker: Checker) -> _Object | None:
    if checker.is_too_long("body"):
        return None
    text = checker.text.removeprefix("\ufeff")
    try:
        body = json.loads(text, object_pairs_hook=_Object, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        checker.error("body", f"is not JSON: {error.msg}", error.pos)
    except RecursionError:
        checker.error("body", "is nested too deep; it has one level of fields")
    except ValueError as error:
        checker.error("body", f"is not JSON: {error}")
    else:
        if isinstance(body, _Object):
            return body
        checker.error("body", "must be a JSON object, {...}")
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")


def _read_field(
    key: str, value: Scalar | list | None, task: Task, seen: dict[str, str], checker: Checker
) -> None:
    offset = checker.text.find(json.dumps(key))
    offset = offset if offset >= 0 else None
    setting = _FIELDS.get(JSON_ALIASES.get(key, key))
    if setting is None:
        checker.error(key[:60], f"unknown field; {nearest(key, _FIELDS)}", offset)
        return
    if key != setting.key:
        checker.warning(key, f"is not a field of this call; read as {setting.key}", offset)
    owner = setting.field or setting.key
    if owner in seen:
        both = "twice" if seen[owner] == key else f"as {seen[owner]} too"
        checker.error(key, f"is given {both}; keep one", offset)
        return
    if isinstance(value, list):
        checker.error(key, "must be one value, not a list or object", offset)
        return
    if (
        value is None
        or is_unset(setting, value)
        or (value == "no" and setting.read in (name, names))
    ):
        return
    seen[owner] = key
    if isinstance(value, str) and (control := control_character(value)) is not None:
        checker.error(key, f"has a control character, {value[control]!a}; delete it", offset)
    elif task not in setting.tasks:
        calls = " and ".join(each.value for each in setting.tasks)
        checker.error(key, f"is a field of {calls}, and this call is {task.value}", offset)
    else:
        read = checker.check(setting, value, offset)
        if setting.field and read is not None:
            checker.values[setting.field] = read


def _check_whole(recipe: Recipe, checker: Checker) -> None:
    if not recipe.prompt and not any(problem.setting == "prompt" for problem in checker.found):
        checker.error("prompt", "The prompt field is required.")
    for field, key in (("prompt", "prompt"), ("negative", "negative_prompt")):
        try:
            _, tags = take_tags(getattr(recipe, field))
        except PromptError as error:
            checker.error(key, str(error))
            continue
        if tags and field == "negative":
            why = "has a <lora:> tag; move it to the prompt, it acts on both"
            checker.error(key, why)
    if recipe.task is not Task.TEXT and not recipe.input_image:
        checker.error("init_image", f"is required for {recipe.task.value}")
    if recipe.task is Task.INPAINT and not recipe.mask_image:
        checker.error("mask_image", "is required for inpaint")
    strengths, loras = len(recipe.lora_strengths), len(recipe.loras)
    if strengths > 1 and strengths != loras:
        checker.error(
            "lora_strength",
            f"has {strengths} values for {loras} LoRAs; give one for all or one for each",
        )
