"""Names people write -> files ComfyUI has.

A name is tried as a file, with slashes either way; without its extension; without regard to case;
as the one file of that stem in any folder; and as an id in the alias file. Never as part of a name:
a wrong file is worse than an error.
"""

import difflib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

import folder_paths

from ..prompt.errors import shown
from .aliases import Aliases, read_aliases

MODEL_EXTENSIONS = (".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".bin", ".pth", ".gguf")
PICTURE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
IMAGES = "images"
"""Stands for ComfyUI's input folder, here and in the alias file."""
NEAREST = 3
_ALIKE = 0.5  # of the letters of two names: with fewer, one was hardly written for the other
_LETTERS = 3  # of a name that is looked for within others
MAX_REMEMBERED = 4096  # names looked up in one state of a folder


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


@dataclass(frozen=True)
class Match:
    """What a name means: a file, or the error that says why there is none."""

    file: str = ""
    error: UnresolvedNameError | None = None


def resolve(name: str, folder: str) -> str:
    """The file that `name` means in one of ComfyUI's model folders (loras, checkpoints, vae,
    embeddings, …), relative to it, as core's lists spell it.

    Raises UnknownNameError, AmbiguousNameError or AliasFileError.
    """
    return names_in(folder).resolve(name)


def names_in(folder: str) -> "ModelNames":
    """The names of a model folder, now. Raises AliasFileError for a broken alias file."""
    return names_among(folder, folder_paths.get_filename_list(folder), read_aliases())


def names_among(folder: str, files: Sequence[str], aliases: Aliases) -> "ModelNames":
    """The names of `files`, which are those of a folder; the same object for the same files."""
    return _names(folder, tuple(files), tuple(aliases.of_folder(folder).items()), aliases.path)


@lru_cache(maxsize=16)
def _names(
    folder: str, files: tuple[str, ...], aliases: tuple[tuple[str, str], ...], alias_file: str
) -> "ModelNames":
    return ModelNames(folder, files, dict(aliases), alias_file)


class ModelNames:
    """One state of a model folder. Each name is looked up once, however often it is asked for."""

    def __init__(
        self, folder: str, files: Sequence[str], aliases: Mapping[str, str], alias_file: str
    ) -> None:
        self.files = tuple(files)
        self._folder = folder
        self._place = "the input folder" if folder == IMAGES else repr(folder)
        self._aliases = aliases
        self._alias_file = alias_file
        self._by_path = {_normal(file): file for file in files}
        self._known: dict[str, Match] = {}

    def resolve(self, name: str) -> str:
        """The entry of `files` that `name` means. Raises UnknownNameError or AmbiguousNameError."""
        match = self.match(name)
        if match.error is not None:
            raise match.error.with_traceback(None)  # it is kept, and would keep every caller's
        return match.file

    def match(self, name: str) -> Match:
        if name not in self._known:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            try:
                self._known[name] = Match(self._look_up(name))
            except UnresolvedNameError as error:
                self._known[name] = Match(error=error.with_traceback(None))
        return self._known[name]

    def _look_up(self, name: str) -> str:
        wanted = _normal(name)
        candidates = _candidates(wanted, self._by_path)
        if len(candidates) == 1:
            return self._by_path[candidates[0]]
        target = self._aliases.get(name.strip())
        if target is not None:
            return self._look_up_alias(name, target)
        mapped = f"or map the name in section {self._folder!r} of {self._alias_file}"
        way_out = f"Give one of them, {mapped}"
        if candidates:
            near = tuple(self._by_path[path] for path in sorted(candidates))
            listed = ", ".join(map(shown, near[:NEAREST]))
            more = f" and {len(near) - NEAREST} more" if len(near) > NEAREST else ""
            raise AmbiguousNameError(
                f"{shown(name)} means {len(near)} files in {self._place}: {listed}{more}. {way_out}",
                name,
                near[:NEAREST],
            )
        near = _nearest(wanted, self._by_path, self._aliases)
        if not near:
            way_out = f"Put the file there, {mapped}"
        raise UnknownNameError(
            f"{shown(name)} is no file in {self._place}. {_listed(near)}. {way_out}",
            name,
            near,
        )

    def _look_up_alias(self, name: str, target: str) -> str:
        candidates = _candidates(_normal(target), self._by_path)
        if len(candidates) == 1:
            return self._by_path[candidates[0]]
        near = tuple(self._by_path[path] for path in candidates[:NEAREST])
        near = near or _nearest(target, self._by_path, {})
        problem = "which means several files" if candidates else "which is no file"
        raise (AmbiguousNameError if candidates else UnknownNameError)(
            f"{shown(name)} stands for {shown(target)} in section {self._folder!r} of "
            f"{self._alias_file}, {problem}. {_listed(near)}",
            name,
            near,
        )


def _listed(near: tuple[str, ...]) -> str:
    return f"Nearest: {', '.join(map(shown, near))}" if near else "No file there has a name like it"


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


def _nearest(
    wanted: str, by_path: Mapping[str, str], aliases: Mapping[str, str]
) -> tuple[str, ...]:
    """At most three names like `wanted`, the most alike first, compared by stem and by whole path; ids
    of the alias file among them.
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for path, file in by_path.items():
        stem = _stem(path).casefold()
        spellings[stem].add(file)
        spellings[stem.rpartition("/")[2]].add(file)
    for alias in aliases:
        spellings[alias.casefold()].add(alias)
    asked = _stem(wanted).casefold()
    close = [each for each in closest(asked, spellings, 2 * NEAREST) if _is_like(asked, each)]
    longer = sorted((each for each in spellings if _is_within(asked, each)), key=len)
    ordered = [file for spelling in (*close, *longer) for file in sorted(spellings[spelling])]
    return tuple(dict.fromkeys(ordered))[:NEAREST]


def _is_like(asked: str, spelling: str) -> bool:
    return difflib.SequenceMatcher(a=spelling, b=asked).ratio() >= _ALIKE


def _is_within(asked: str, spelling: str) -> bool:
    shorter, longer = sorted((asked, spelling), key=len)
    return len(shorter) >= _LETTERS and shorter in longer


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
    """The path without a model's or a picture's extension; other dots stay (`add_detail.v2`)."""
    head, dot, extension = path.rpartition(".")
    known = (*MODEL_EXTENSIONS, *PICTURE_EXTENSIONS)
    return head if dot + extension.lower() in known else path


def name_without_folder(file: str) -> str:
    """`people/ann.safetensors` -> `ann`, for messages and reports."""
    return PurePosixPath(_stem(_normal(file))).name
