"""A request -> a compiled job, ready to be accepted."""

import hashlib
import json
import secrets
import struct
from dataclasses import dataclass, replace
from typing import Any

from ...recipes.build import Options
from ...recipes.compiler import compile_recipe
from ...recipes.defaults import service_names
from ...recipes.library import Library
from ...recipes.problems import Problem, Reading, RecipeError, Severity
from ...recipes.recipe import Recipe
from ...recipes.shrink import Shrink, shrink_recipe
from ..bodies import Refused
from .config import Config
from .fetching import PictureFetcher
from .jobs import JobIds
from .pictures import PictureError, Upload, read_picture

_LONGEST_KEY = 200
_LONGEST_TRACK = 500


@dataclass(frozen=True)
class Draft:
    # With every default filled in.
    recipe: Recipe
    graph: dict[str, Any]
    report: dict[str, Any]
    warnings: tuple[str, ...]
    # What the graph's LoadImage nodes name.
    uploads: tuple[Upload, ...]


def draft(
    reading: Reading,
    ids: JobIds,
    uploads: tuple[Upload, ...],
    config: Config,
    options: Options | None = None,
    shrink: Shrink | None = None,
) -> Draft:
    """Raises RecipeError, MissingError and AliasFileError as the compiler does, and PictureError."""
    from ..library import this_machine

    recipe, fetched = _fetch(
        reading.require(), PictureFetcher(config.picture_hosts, config.picture)
    )
    uploads += fetched
    recipe, changes = shrink_recipe(recipe, shrink or Shrink())
    options = options or Options(seed=secrets.randbits(32))
    options = replace(
        options,
        prefix=ids.prefix,
        skip_missing=options.skip_missing or config.skip_missing,
        allow_approximate=options.allow_approximate or config.approximate,
        # A job that is accepted shall not fail on who walks past in the background.
        on_mismatch=options.on_mismatch or "largest",
    )
    compiled = compile_recipe(recipe, _with_uploads(this_machine(), uploads), options)
    # Only a picture the reader took for a data URL and we did not: it is written anew all the same.
    more = tuple(replace(read_picture(data), name=name) for name, data in compiled.uploads.items())
    return Draft(
        recipe=compiled.recipe,
        graph=compiled.graph,
        report=compiled.report | {"shrink": changes},
        # Without line and column: pictures were taken out of the text that was sent.
        warnings=tuple(f"{each.setting}: {each.message}" for each in reading.warnings),
        uploads=uploads + more,
    )


def _fetch(recipe: Recipe, fetch: PictureFetcher) -> tuple[Recipe, tuple[Upload, ...]]:
    """The recipe with names for its pictures on hosts that are fetched from. Raises RecipeError."""
    found: dict[str, Upload] = {}
    for field in ("input_image", "mask_image"):
        address = getattr(recipe, field)
        if address and address.startswith(("http://", "https://")) and fetch.wants(address):
            try:
                found[field] = fetch(address)
            except PictureError as error:
                setting = service_names(recipe).get(field, field)
                problem = Problem(Severity.ERROR, setting, f"The {setting} {error}.")
                raise RecipeError([problem]) from error
    return replace(recipe, **{f: each.name for f, each in found.items()}), tuple(found.values())


def _with_uploads(machine: Library, uploads: tuple[Upload, ...]) -> Library:
    """The machine as it will be when the pictures of this request are in the input folder."""
    names = {upload.name for upload in uploads}

    def find(name: str, kind: str) -> str:
        return name if kind == "images" and name in names else machine.find(name, kind)

    # Width and height stand in a PNG's first bytes.
    sizes = {upload.name: struct.unpack(">II", upload.png[16:24]) for upload in uploads}
    return replace(machine, find=find, size=lambda name: sizes.get(name) or machine.size(name))


def request_hash(route: str, body: dict[str, Any]) -> str:
    """A hash of the request's route and body, without the key."""
    asked = json.dumps([route, {**body, "key": ""}], sort_keys=True)
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


def read_idempotency_key(header: str | None, own: object) -> str | None:
    """The client's own id of a request, from its header or its body. Raises Refused."""
    key = header if header is not None else own
    if key is None:
        return None
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise Refused(400, f"a client's id must be text of 1 to {_LONGEST_KEY} characters")
    if not key.isprintable():
        raise Refused(400, "a client's id must not hold control characters")
    return f"id:{key}"


def read_track_id(value: object) -> str | int | None:
    """`track_id` as it will be given back. Raises Refused."""
    if value is None or value == "":
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, str | int)
        or len(str(value)) > _LONGEST_TRACK
    ):
        raise Refused(
            400, f"track_id must be text or a whole number of up to {_LONGEST_TRACK} digits"
        )
    if isinstance(value, str) and not value.isprintable():
        raise Refused(400, "track_id must not hold control characters")
    return value
