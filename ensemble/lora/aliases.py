"""The alias file: ids that people write -> files, and people with their LoRA, words and faces."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from ..prompt.cast import Cast, cast_of, read_cast
from ..prompt.errors import shown


class AliasFileError(ValueError):
    """The alias file is there and cannot be read."""


@dataclass(frozen=True)
class Aliases:
    """What the alias file says."""

    # As messages show it: they may go to another machine, so it begins at the user folder.
    path: str
    # `sections["loras"]["849330"] == "ann.safetensors"`
    sections: Mapping[str, Mapping[str, str]]
    people: Mapping[str, Mapping[str, object]]

    def of_folder(self, folder: str) -> dict[str, str]:
        """Ids of files in a model folder, people's own LoRAs or checkpoints among them; in `images`,
        the input folder, the first of their faces."""
        field = {"loras": "lora", "checkpoints": "checkpoint", "images": "faces"}.get(folder, "")
        people = {
            name: str(_first(entry[field]))
            for name, entry in self.people.items()
            if entry.get(field)
        }
        return {**people, **self.sections.get(folder, {})}


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) else value


def alias_path() -> Path:
    return Path(folder_paths.get_user_directory()) / "default" / "ensemble" / "aliases.json"


def read_aliases() -> Aliases:
    """The alias file, or no aliases where there is none. Raises AliasFileError for one that is not
    what it should be.
    """
    file = alias_path()
    path = file.relative_to(file.parents[3]).as_posix()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Aliases(path, {}, {})
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
        path, {k: v for k, v in content.items() if k != "people"}, content.get("people", {})
    )


def read_cast_or_aliases(text: str) -> Cast:
    """The cast of a typed text; of none, the people of the alias file. Raises CastError and
    AliasFileError."""
    return read_cast(text) if text.strip() else cast_of({"people": read_aliases().people})
