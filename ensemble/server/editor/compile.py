"""`POST /ensemble/v1/recipes/compile`: a hosted text or JSON body -> graph and report.

It reads names and sizes of files and changes nothing, so it needs no switch; the editor and
`python dev recipe` use it.
"""

import base64
import secrets
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from aiohttp import web

from ...lora.aliases import AliasFileError
from ...prompt.cast import Cast, CastError, cast_of
from ...recipes.build import Options, OutputSize
from ...recipes.cast import cast_reading
from ...recipes.choices import Choices, with_choices
from ...recipes.compiler import compile_recipe
from ...recipes.editor import to_editor
from ...recipes.library import Missing, MissingError
from ...recipes.problems import Problem, Reading, RecipeError
from ...recipes.reading import read_recipe
from ...recipes.settings import MISMATCHES
from ...recipes.shrink import Shrink, shrink_recipe
from ...recipes.told import understood
from ...recipes.unwrap import NoBodyError, unwrapped
from ..access import Gate, answer_body

PATH = "/ensemble/v1/recipes/compile"
MAX_BODY = 40_000_000
_NAMES = ("checkpoint", "on_mismatch", "estimator")
_SWITCHES = ("strict", "allow_approximate", "skip_missing", "hashes", "workflow")
_MOST_CHOICES = 200
# What ComfyUI can run at all: least and most.
_SIZES = {"width": (16, 16384), "height": (16, 16384), "steps": (1, 1000), "pictures": (1, 64)}
_LIMITS = {**_SIZES, "seed": (0, 2**64 - 1)}


class RequestError(ValueError):
    """A request that is not what this route takes."""


@dataclass(frozen=True)
class CompileRequest:
    text: str
    options: Options
    shrink: Shrink
    # Whom @name in the text means.
    cast: Cast
    # What stands in for names that are not on the machine.
    choices: Choices
    # Whether the service's ranges bind.
    strict: bool
    # Whether the report has the hashes of checkpoints and LoRAs.
    hashes: bool
    # Whether the answer has the graph as the editor's workflow too.
    workflow: bool


def register_compile(routes: web.RouteTableDef, gate: Gate) -> None:
    routes.post(PATH)(partial(answer_body, gate=gate, limit=MAX_BODY, answer=compile_body))


def compile_body(body: object) -> tuple[int, dict[str, Any]]:
    """Status and answer: 200 with `graph`, `report`, `warnings`, `mended` (the text with each mended
    that is seldom meant so) and `uploads` (file name -> base64, to be put into the input folder
    first); 400 with `problems`; 422 with `missing`. 200 and 422 have `understood` too.
    """
    from ..library import hashes_of, this_machine

    told: dict[str, Any] = {}
    try:
        asked = read_request(body)
        reading = read_asked(asked, asked.text)
        told["understood"] = understood(reading.require())
        recipe, changes = shrink_recipe(reading.require(), asked.shrink)
        machine = this_machine()
        compiled = compile_recipe(recipe, machine, asked.options)
    except REFUSALS as error:
        status, answer = refusal(error)
        return status, answer | told
    report: dict[str, Any] = compiled.report | {"shrink": changes}
    if asked.hashes:
        report["hashes"], notes = hashes_of(report["files"])
        report["notes"] = [*report["notes"], *notes]
    answer = told | {
        "graph": compiled.graph,
        "report": report,
        "warnings": [str(problem) for problem in reading.warnings],
        "mended": [problem.mended for problem in reading.warnings if problem.mended],
        "uploads": {
            name: base64.b64encode(data).decode() for name, data in compiled.uploads.items()
        },
    }
    if asked.workflow:
        answer["workflow"] = to_editor(compiled.graph, machine.nodes)
    return 200, answer


REFUSALS = (RecipeError, MissingError, RequestError, AliasFileError, NoBodyError)


def refusal(error: Exception) -> tuple[int, dict[str, Any]]:
    """Status and answer for one of REFUSALS."""
    if isinstance(error, RecipeError):
        return 400, {"problems": [_problem(problem) for problem in error.problems]}
    if isinstance(error, MissingError):
        return 422, {"missing": [_missing(each) for each in error.missing]}
    return 400, {"error": str(error)}


def read_asked(asked: CompileRequest, text: str) -> Reading:
    """What a request's text says, with its cast and its choices. Raises NoBodyError."""
    reading = cast_reading(read_recipe(unwrapped(text), strict=asked.strict), asked.cast)
    if reading.recipe is None:
        return reading
    return replace(reading, recipe=with_choices(reading.recipe, asked.choices))


def _missing(missing: Missing) -> dict[str, Any]:
    found = asdict(missing)
    return {"kind": found.pop("folder"), **found}


def _problem(problem: Problem) -> dict[str, Any]:
    return {**asdict(problem), "severity": problem.severity.value, "text": str(problem)}


def read_request(body: object) -> CompileRequest:
    """Raises RequestError."""
    if not isinstance(body, dict) or not isinstance(body.get("text"), str):
        raise RequestError("the body must be an object with the recipe as its 'text'")
    known = {"text", "seed", "output_size", "cast", "choices", *_NAMES, *_SWITCHES, *_SIZES}
    unknown = [key for key in body if key not in known]
    if unknown:
        raise RequestError(f"unknown keys: {', '.join(map(str, unknown[:5]))[:200]}")
    for key, (least, most) in _LIMITS.items():
        value = body.get(key)
        if value is not None and not (type(value) is int and least <= value <= most):
            raise RequestError(f"{key} must be a whole number from {least} to {most}")
        if key in ("width", "height") and value is not None and value % 8:
            raise RequestError(f"{key} must be divisible by 8, not {value}")
    for key in _NAMES:
        if body.get(key) is not None and not isinstance(body[key], str):
            raise RequestError(f"{key} must be a name")
    mismatch = body.get("on_mismatch")
    if mismatch not in (None, *MISMATCHES):
        raise RequestError(f"on_mismatch must be one of {', '.join(MISMATCHES)}")
    try:
        size = OutputSize(body.get("output_size", "recipe"))
    except ValueError as error:
        raise RequestError("output_size must be recipe or input") from error
    try:
        cast = Cast() if body.get("cast") is None else cast_of(body["cast"])
    except CastError as error:
        raise RequestError(f"cast: {error}") from error
    choices = _read_choices(body.get("choices"))
    seed = body.get("seed")
    on = {name: bool(body.get(name)) for name in _SWITCHES}
    options = Options(
        seed=secrets.randbits(32) if seed is None else seed,
        checkpoint=body.get("checkpoint"),
        on_mismatch=body.get("on_mismatch"),
        estimator=body.get("estimator"),
        allow_approximate=on.pop("allow_approximate"),
        output_size=size,
        skip_missing=on.pop("skip_missing"),
    )
    shrink = Shrink(*(body.get(name) for name in _SIZES))
    return CompileRequest(body["text"], options, shrink, cast, choices, **on)


def _read_choices(value: object) -> Choices:
    """`[{kind, name, file}]`, kind and name as an answer's `missing` has them; without a file the name
    is left out. Raises RequestError."""
    if value is None:
        return {}
    if not isinstance(value, list) or len(value) > _MOST_CHOICES:
        raise RequestError(f"choices must be a list of at most {_MOST_CHOICES}")
    chosen: dict[tuple[str, str], str | None] = {}
    for each in value:
        kind, name, file = (
            (each.get(key) for key in ("kind", "name", "file"))
            if isinstance(each, dict)
            else (None,) * 3
        )
        if not (isinstance(kind, str) and isinstance(name, str) and isinstance(file, str | None)):
            raise RequestError("each of choices must be {kind, name, file}, file a name or null")
        chosen[kind, name] = file
    return chosen
