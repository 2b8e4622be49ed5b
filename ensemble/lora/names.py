"""Names people write -> files ComfyUI has.

A name is tried as a file, with slashes either way; without its extension; without regard to case;
as the one file of that stem in any folder; and as an id in the alias file. Never as part of a name:
a wrong file is worse than an error.
"""

import difflib
import heapq
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import folder_paths

from ..prompt.errors import shown

MODEL_EXTENSIONS = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".bin", ".pth", ".gguf")
NEAREST = 3


class UnresolvedNameError(ValueError):
    """A name that is not exactly one file. `nearest` are the files it may mean, relative to their
    folder.
    """

    def __init__(self, message: str, name: str, nearest: tuple[str, ...]) -> None:
        super().__init__(message)
        self.name = name
        self.nearest = nearest


class UnknownNameError(UnresolvedNameError):
    pass


class AmbiguousNameError(UnresolvedNameError):
    pass


class AliasFileError(ValueError):
    """The alias file is there and cannot be read."""


@dataclass(frozen=True)
class Aliases:
    """The alias file: `sections["loras"]["849330"] == "ann.safetensors"`; `people` hold a mapping
    per id.
    """

    path: str
    sections: Mapping[str, Mapping[str, str]]
    people: Mapping[str, Mapping[str, object]]

    def of_kind(self, kind: str) -> dict[str, str]:
        """Ids of one folder kind, people's own LoRAs or checkpoints among them."""
        field = {"loras": "lora", "checkpoints": "checkpoint"}.get(kind, "")
        people = {name: str(entry[field]) for name, entry in self.people.items() if field in entry}
        return {**people, **self.sections.get(kind, {})}


def alias_path() -> Path:
    return Path(folder_paths.get_user_directory()) / "default" / "ensemble" / "aliases.json"


def read_aliases() -> Aliases:
    """The alias file, or no aliases where there is none. Raises AliasFileError for one that is not
    what it should be.
    """
    path = alias_path()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Aliases(str(path), {}, {})
    try:
        content = json.loads(text)
    except ValueError as error:
        raise AliasFileError(f"Alias file {path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise AliasFileError(f"Alias file {path} must be an object of sections such as 'loras'")
    for section, entries in content.items():
        wanted, words = (dict, "an object") if section == "people" else (str, "a file name")
        if not isinstance(entries, dict):
            raise AliasFileError(f"Alias file {path}: section {shown(section)} must be an object")
        for name, target in entries.items():
            if not isinstance(target, wanted):
                raise AliasFileError(
                    f"Alias file {path}: {shown(section)}, {shown(name)} must be {words}"
                )
    return Aliases(
        str(path), {k: v for k, v in content.items() if k != "people"}, content.get("people", {})
    )


def resolve(name: str, kind: str) -> str:
    """The file that `name` means in one of ComfyUI's model folders, relative to it, as core's lists
    spell it.

    `kind` is a folder_paths kind: loras, checkpoints, vae, embeddings, … Raises UnknownNameError,
    AmbiguousNameError or AliasFileError.
    """
    aliases = read_aliases()
    files = folder_paths.get_filename_list(kind)
    return resolve_among(name, files, aliases.of_kind(kind), kind=kind, alias_file=aliases.path)


def resolve_among(
    name: str,
    files: Sequence[str],
    aliases: Mapping[str, str],
    *,
    kind: str = "loras",
    alias_file: str = "user/default/ensemble/aliases.json",
) -> str:
    """`resolve` among given files: the entry of `files` that `name` means, unchanged."""
    wanted = _normal(name)
    by_path = {_normal(file): file for file in files}
    candidates = _candidates(wanted, by_path)
    if len(candidates) == 1:
        return by_path[candidates[0]]
    target = aliases.get(name.strip())
    if target is not None:
        return _resolve_alias(name, target, by_path, kind, alias_file)
    way_out = f"Give one of them, or map the name in section {kind!r} of {alias_file}"
    if candidates:
        near = tuple(by_path[path] for path in sorted(candidates))
        listed = ", ".join(map(shown, near[:NEAREST]))
        more = f" and {len(near) - NEAREST} more" if len(near) > NEAREST else ""
        raise AmbiguousNameError(
            f"{shown(name)} means {len(near)} files in {kind!r}: {listed}{more}. {way_out}",
            name,
            near[:NEAREST],
        )
    near = _nearest(wanted, by_path, aliases)
    listed = ", ".join(map(shown, near)) if near else "none, the folder has no files"
    raise UnknownNameError(
        f"{shown(name)} is no file in {kind!r}. Nearest: {listed}. {way_out}", name, near
    )


def _candidates(wanted: str, by_path: Mapping[str, str]) -> list[str]:
    """The paths that the first rule with any hit gives: one if the name is clear, several if it is
    ambiguous.
    """
    if not wanted:
        return []
    if wanted in by_path:
        return [wanted]
    rules: list[list[str]] = [[] for _ in range(4)]
    folded = wanted.casefold()
    for path in by_path:
        stem = _stem(path)
        bare, bare_stem = path.rpartition("/")[2], stem.rpartition("/")[2]
        if stem == wanted:
            rules[0].append(path)
        if folded in (path.casefold(), stem.casefold()):
            rules[1].append(path)
        if wanted in (bare, bare_stem):
            rules[2].append(path)
        if folded in (bare.casefold(), bare_stem.casefold()):
            rules[3].append(path)
    return next((hits for hits in rules if hits), [])


def _resolve_alias(
    name: str, target: str, by_path: Mapping[str, str], kind: str, alias_file: str
) -> str:
    candidates = _candidates(_normal(target), by_path)
    if len(candidates) == 1:
        return by_path[candidates[0]]
    near = tuple(by_path[path] for path in candidates[:NEAREST]) or _nearest(target, by_path, {})
    problem = "which means several files" if candidates else "which is no file"
    raise (AmbiguousNameError if candidates else UnknownNameError)(
        f"{shown(name)} stands for {shown(target)} in section {kind!r} of {alias_file}, {problem}. "
        f"Nearest: {', '.join(map(shown, near)) or 'none, the folder has no files'}",
        name,
        near,
    )


def _nearest(
    wanted: str, by_path: Mapping[str, str], aliases: Mapping[str, str]
) -> tuple[str, ...]:
    """The three names most like `wanted`, compared by stem and by whole path; ids of the alias file
    among them.
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for path, file in by_path.items():
        stem = _stem(path).casefold()
        spellings[stem].add(file)
        spellings[stem.rpartition("/")[2]].add(file)
    for alias in aliases:
        spellings[alias.casefold()].add(alias)
    asked = _stem(wanted).casefold()
    close = closest(asked, spellings, 2 * NEAREST)
    ordered = [file for spelling in close for file in sorted(spellings[spelling])]
    return tuple(dict.fromkeys(ordered))[:NEAREST]


def closest(word: str, spellings: Iterable[str], count: int) -> list[str]:
    """`difflib.get_close_matches` without a cutoff, several times as fast among thousands: a full
    comparison is spared where difflib's own upper bound is already too low.
    """
    matcher = difflib.SequenceMatcher(b=word)
    bounds: list[tuple[float, str]] = []
    for spelling in spellings:
        matcher.set_seq1(spelling)
        bounds.append((matcher.quick_ratio(), spelling))
    best: list[tuple[float, str]] = []  # a heap, the worst of the best first
    for bound, spelling in sorted(bounds, reverse=True):
        if len(best) == count and bound < best[0][0]:
            break
        matcher.set_seq1(spelling)
        found = (matcher.ratio(), spelling)
        if len(best) < count:
            heapq.heappush(best, found)
        else:
            heapq.heappushpop(best, found)
    return [spelling for _, spelling in sorted(best, reverse=True)]


def _normal(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./")


def _stem(path: str) -> str:
    """The path without a model file's extension; other dots stay (`add_detail.v2`)."""
    head, dot, extension = path.rpartition(".")
    return head if dot + extension.lower() in MODEL_EXTENSIONS else path


def name_without_folder(file: str) -> str:
    """`people/ann.safetensors` -> `ann`, for messages and reports."""
    return PurePosixPath(_stem(_normal(file))).name
