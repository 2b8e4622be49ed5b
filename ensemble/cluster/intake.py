"""A file of jobs -> jobs. A line that cannot be one becomes a failed row and does not stop the others.

JSON Lines, one job a line: a string (a recipe's text), `{"text": …}` (what the compile route takes),
`{"graph": …, "set": {"node.input": value}}` (an API graph or its file, with inputs filled in; `seed`
goes where a seed is null), a hosted
JSON body as it is, or an API graph as it is. CSV with a header: the columns are fields of a hosted
body, `text`, or `graph` with `node.input` columns. A folder: every .json and .txt in it. `name` in
any of them names the pictures.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..prompt.cast import Cast, expand, part_of
from ..prompt.errors import PromptError
from ..recipes.cast import with_cast
from ..recipes.problems import RecipeError
from ..recipes.reading import read_recipe
from .inputs import Pictures
from .job import BadLine, Job, Kind, Needs
from .keys import Keys, seed_of
from .needs import graph_needs, recipe_needs
from .rows import Row

_SEEDS = ("seed", "noise_seed")
_REQUEST = (
    *("text", "seed", "checkpoint", "output_size", "width", "height", "steps", "pictures"),
    *("strict", "allow_approximate", "skip_missing"),
)
_SLOT = re.compile(r"(.+)\.([^.]+)")
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 80


class LineError(ValueError):
    """One line is no job."""


class Intake:
    """Reads jobs of one source. `folder` is where the graphs that lines name lie."""

    def __init__(
        self, pictures: Pictures, folder: Path, cast: Cast | None = None, *, measure: bool = False
    ) -> None:
        """`measure`: recipes with people who all have faces get the leak meter."""
        self._measure = measure
        self._pictures = pictures
        self._folder = folder
        self._cast = cast or Cast()
        self._keys = Keys()
        self._graphs: dict[Path, Any] = {}

    def jobs(self, rows: Iterable[Row]) -> Iterator[Job | BadLine]:
        for row in rows:
            try:
                if row.error:
                    raise LineError(row.error)
                name, kind, spec, needs = self._read(row.value)
            except LineError as error:
                key = self._keys.key(["bad line", row.line, row.value])
                yield BadLine(key, row.line, row.name, str(error))
                continue
            yield self._job(row, name or row.name, kind, spec, needs)

    def _job(self, row: Row, name: str, kind: Kind, spec: dict[str, Any], needs: Needs) -> Job:
        key = self._keys.key([kind.value, spec, self._pictures.digests(needs.pictures)])
        if kind is Kind.GRAPH:
            spec = {"graph": _with_seeds(spec["graph"], seed_of(key))}
        return Job(key, row.line, _safe(name), kind, spec, needs, row.cell)

    def _read(self, value: Any) -> tuple[str, Kind, dict[str, Any], Needs]:
        """Name, kind, what to send, and needs. Raises LineError."""
        if isinstance(value, str):
            return "", *self._recipe({"text": value})
        if not isinstance(value, dict):
            raise LineError("a job is a text or an object")
        name = value.get("name", "")
        if not isinstance(name, str):
            raise LineError("name: must be text")
        rest = {key: each for key, each in value.items() if key != "name"}
        if "graph" in rest:
            return name, *self._graph(rest)
        if _is_graph(value):
            return "", *self._graph({"graph": value})
        if "text" in rest:
            return name, *self._recipe(rest)
        if isinstance(rest.get("prompt"), dict):  # the body of ComfyUI's /prompt
            return name, *self._graph({"graph": rest["prompt"]})
        body = {key: each for key, each in rest.items() if each is not None}
        return name, *self._recipe({"text": json.dumps(body, ensure_ascii=False)})

    def _recipe(self, request: dict[str, Any]) -> tuple[Kind, dict[str, Any], Needs]:
        for key in request:
            if key not in _REQUEST:
                near = difflib.get_close_matches(key, _REQUEST, n=1)
                raise LineError(
                    f"{key}: unknown beside text" + (f"; did you mean {near[0]}?" if near else "")
                )
        if not isinstance(request["text"], str):
            raise LineError("text: must be text")
        reading = read_recipe(request["text"], strict=bool(request.get("strict")))
        if reading.recipe is None:
            raise LineError("; ".join(map(str, reading.errors)))
        request = {key: each for key, each in request.items() if each is not None}
        try:
            recipe, people = with_cast(reading.recipe, self._cast)
        except RecipeError as error:
            raise LineError(str(error)) from error
        if people:
            # Those alone who are in it: a change of anybody else renders nothing anew.
            request["cast"] = part_of(self._cast, people)
        needs = recipe_needs(recipe, request.get("checkpoint"))
        faces = {name: self._cast.members[name.casefold()].faces for name in people}
        if not (self._measure and faces and all(faces.values())):
            return Kind.RECIPE, {"request": request}, needs
        first = {name: each[0] for name, each in faces.items()}
        needs = replace(needs, pictures=(*needs.pictures, *first.values()))
        return Kind.RECIPE, {"request": request, "faces": first}, needs

    def _graph(self, value: dict[str, Any]) -> tuple[Kind, dict[str, Any], Needs]:
        unknown = value.keys() - {"graph", "set", "seed"}
        if unknown:
            raise LineError(f"{sorted(unknown)[0]}: unknown beside graph; inputs go into 'set'")
        graph = value["graph"]
        if isinstance(graph, str):
            graph = self._load(graph)
        if not _is_graph(graph):
            raise LineError(
                "graph: is not in API format (node id -> class_type and inputs); in ComfyUI's "
                "editor choose File, Export (API)"
            )
        graph = fill_slots(graph, self._with_people(value.get("set") or {}))
        seed = value.get("seed")
        if seed is not None:
            if type(seed) is not int or not 0 <= seed < 2**64:
                raise LineError("seed: must be a whole number from 0")
            graph = _with_seeds(graph, seed)
        return Kind.GRAPH, {"graph": graph}, graph_needs(graph)

    def _with_people(self, slots: Any) -> Any:
        """A graph's own nodes know no cast: what is set has its people in place."""
        if not isinstance(slots, dict):
            return slots
        try:
            return {
                slot: expand(each, self._cast).text if isinstance(each, str) else each
                for slot, each in slots.items()
            }
        except PromptError as error:
            raise LineError(str(error)) from error

    def _load(self, name: str) -> Any:
        path = self._folder / name
        if path not in self._graphs:
            try:
                self._graphs[path] = json.loads(path.read_bytes())
            except OSError as error:
                raise LineError(f"graph: {path} cannot be read: {error.strerror}") from error
            except ValueError as error:
                raise LineError(f"graph: {path} is not JSON: {error}") from error
        return self._graphs[path]


def fill_slots(graph: dict[str, Any], values: Any) -> dict[str, Any]:
    """The graph with `{"node.input": value}` put in; the node is an id or, where one node alone has it,
    a title. Raises LineError.
    """
    if not isinstance(values, dict):
        raise LineError("set: must be an object of 'node.input': value")
    filled = {node: {**each, "inputs": dict(each["inputs"])} for node, each in graph.items()}
    for slot, value in values.items():
        found = _SLOT.fullmatch(slot)
        if found is None:
            raise LineError(f"set: {slot!r} is no 'node.input'")
        inputs = filled[_node(graph, found[1])]["inputs"]
        if found[2] not in inputs:
            near = ", ".join(difflib.get_close_matches(found[2], inputs, n=3, cutoff=0.3))
            raise LineError(f"set: node {found[1]!r} has no input {found[2]!r}; near: {near}")
        inputs[found[2]] = value
    return filled


def _node(graph: dict[str, Any], name: str) -> str:
    if name in graph:
        return name
    titles = [
        node for node, each in graph.items() if (each.get("_meta") or {}).get("title") == name
    ]
    if len(titles) == 1:
        return titles[0]
    reason = f"{len(titles)} nodes have the title" if titles else "the graph has no node"
    near = ", ".join(difflib.get_close_matches(name, graph, n=3, cutoff=0.3))
    raise LineError(f"set: {reason} {name!r}" + (f"; near: {near}" if near else ""))


def _is_graph(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(each, dict)
            and isinstance(each.get("class_type"), str)
            and isinstance(each.get("inputs"), dict)
            for each in value.values()
        )
    )


def _with_seeds(graph: dict[str, Any], seed: int) -> dict[str, Any]:
    """Seeds that are null get the job's own."""
    return {
        node: {
            **each,
            "inputs": {
                name: seed if name in _SEEDS and value is None else value
                for name, value in each["inputs"].items()
            },
        }
        for node, each in graph.items()
    }


def _safe(name: str) -> str:
    """A name as a file's stem on every system."""
    return _UNSAFE.sub("_", name).strip("._-")[:_LONGEST_NAME]
