"""Answers in the documented shapes of the hosted v4 API. Pure functions of a job."""

from collections.abc import Iterable
from typing import Any

from ...recipes.library import MissingError
from ...recipes.problems import RecipeError
from ...recipes.recipe import Recipe
from ...recipes.styles import enhance
from .job import Job, State

GENERATIONS = "/ensemble/generations"
FETCH = "/ensemble/api/v3/dreambooth/fetch"
_TIP = "Your image is processing in background, you can get this image using fetch API"
_LATER = "Try to fetch request after seconds estimated"


def error(message: object, **extra: object) -> dict[str, Any]:
    return {"status": "error", **message_of(message), **extra}


def message_of(message: object) -> dict[str, Any]:
    """`messege` is how the service spells it; clients read one or the other."""
    return {"message": message, "messege": message}


def links(job: Job, base: str) -> list[str]:
    """Where the pictures are, or will be."""
    count = job.pictures if job.state is State.WAITING else len(job.outputs)
    return [f"{base}{GENERATIONS}/{index}-{job.prompt_id}.png" for index in range(count)]


def processing(job: Job, base: str, eta: float) -> dict[str, Any]:
    """The answer to a submission."""
    answer = {
        "status": "processing",
        "tip": f"{_TIP}: {base}{FETCH}/{job.id}",
        "eta": round(eta, 3),
        **message_of(_LATER),
        "webhook_status": job.hook.value,
        "fetch_result": f"{base}{FETCH}/{job.id}",
        "id": job.id,
        "output": [],
        "meta": job.answer["meta"],
        "future_links": links(job, base),
    }
    return _with_warnings(answer, job)


def success(job: Job, output: list[str]) -> dict[str, Any]:
    """A submission that is done already, and what a webhook gets. `output`: links, or base64."""
    answer = {
        "status": "success",
        "generationTime": job.seconds,
        "id": job.id,
        "output": output,
        "webhook_status": job.hook.value,
        "meta": job.answer["meta"],
    }
    return _with_warnings(answer, job)


def fetched(job: Job, output: list[str], eta: float) -> dict[str, Any]:
    """The answer to a fetch: `status, id, output` when it is there."""
    if job.state is State.FAILED:
        return failed(job)
    if job.state is State.DONE:
        return {"status": "success", "id": job.id, "output": output}
    return {
        "status": "processing",
        "id": job.id,
        **message_of(_LATER),
        "eta": round(eta, 3),
        "output": [],
    }


def failed(job: Job) -> dict[str, Any]:
    told = message_of(f"Failed, Try Again: {job.error}")
    return {"status": "failed", "id": job.id, **told, "output": ""}


def of_recipe(problems: RecipeError) -> dict[str, Any]:
    return _by_setting((each.setting, each.message) for each in problems.problems)


def of_missing(missing: MissingError) -> dict[str, Any]:
    """Documented for a checkpoint; other names are told by their field."""
    if any(each.folder == "checkpoints" for each in missing.missing):
        hints = "; ".join(each.hint for each in missing.missing)
        return error("Model id not found", tip=hints)
    return _by_setting((each.setting, each.hint) for each in missing.missing)


def _by_setting(reasons: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Documented for a missing field: `message` is an object of field -> reasons."""
    message: dict[str, list[str]] = {}
    for setting, reason in reasons:
        message.setdefault(setting, []).append(reason)
    return error(message)


def meta(recipe: Recipe, *, temporary: bool, base64: bool, file: str) -> dict[str, Any]:
    """The settings that act, under the service's names; `recipe` has its defaults filled in."""
    prompt, negative = recipe.prompt, recipe.negative
    if recipe.enhance and not recipe.translate:
        prompt, negative = enhance(prompt, negative, "hosted")
    return {
        "prompt": prompt,
        "model_id": recipe.model,
        "negative_prompt": negative,
        "scheduler": recipe.scheduler,
        "safety_checker": _word(recipe.safety_checker),
        "W": recipe.width,
        "H": recipe.height,
        "guidance_scale": recipe.cfg,
        "seed": recipe.seed,
        "steps": recipe.steps,
        "n_samples": recipe.pictures,
        "full_url": "no",
        "tomesd": _word(recipe.token_merging),
        "upscale": "no" if recipe.upscale in (None, 1) else str(recipe.upscale),
        "multi_lingual": _word(recipe.translate),
        "panorama": _word(recipe.panorama),
        "self_attention": _word(recipe.self_attention),
        "use_karras_sigmas": _word(recipe.karras),
        "embeddings": ",".join(recipe.embeddings) or None,
        "vae": recipe.vae,
        "lora": ",".join(recipe.loras) or None,
        "lora_strength": _strength(recipe.lora_strengths),
        "clip_skip": recipe.clip_skip,
        "temp": _word(temporary),
        "base64": _word(base64),
        "file_prefix": file,
    }


def _strength(strengths: tuple[float, ...]) -> float | str:
    """A number where one strength acts for all, as documented, else the list as text."""
    if len(strengths) > 1:
        return ",".join(f"{each:g}" for each in strengths)
    one = strengths[0] if strengths else 1.0
    return int(one) if one.is_integer() else one


def _word(value: bool | None) -> str:
    return "yes" if value else "no"


def _with_warnings(answer: dict[str, Any], job: Job) -> dict[str, Any]:
    warnings = job.answer["warnings"]
    return answer | {"warnings": warnings} if warnings else answer
