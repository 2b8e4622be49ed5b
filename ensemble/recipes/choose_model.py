"""Which model a recipe's checkpoint is, and the files that make it up."""

from dataclasses import dataclass

from .families import FAMILIES, ModelFamily, fitting, recognise
from .library import Library, Missing

# What a recipe asks for that names none.
DEFAULT = "default"
DIFFUSION, ENCODERS, VAE = "diffusion_models", "text_encoders", "vae"


@dataclass(frozen=True)
class Model:
    """name: as it was asked for. folder and file: where it lies; file is None where it is nowhere.
    parts: names of the model, its text encoders and its VAE, where the alias says all of them."""

    name: str
    folder: str = "checkpoints"
    file: str | None = None
    family: ModelFamily | None = None
    parts: tuple[str, ...] = ()

    @property
    def unknown(self) -> str | None:
        """Why it cannot be run, of a diffusion model of no family."""
        if self.folder == "checkpoints" or self.family:
            return None
        known = ", ".join(family.name for family in FAMILIES)
        return (
            f"{self.file} in models/{DIFFUSION} is of no model that recipes know; they know {known}"
        )


def choose_model(name: str, library: Library) -> Model:
    """A file in `checkpoints` wins over one in `diffusion_models`."""
    parts = library.sets.get(name.strip(), ())
    for folder, wanted in (("checkpoints", name), (DIFFUSION, parts[0] if parts else name)):
        if parts and folder == "checkpoints":
            continue
        try:
            file = library.find(wanted, folder)
        except ValueError:
            continue
        family = recognise(file, library.architecture(file, folder))
        return Model(name, folder, file, family, parts)
    return Model(name, DIFFUSION if parts else "checkpoints", parts=parts)


def encoders_and_vae(
    model: Model, family: ModelFamily, library: Library
) -> tuple[list[str], list[Missing]]:
    """Files of the text encoders and the VAE in their order, or everything that hinders: a part that
    is missing, or of which several fit."""
    slots = [(ENCODERS, pattern) for pattern in family.encoders] + [(VAE, family.vae)]
    way = (
        f'name all parts in section "checkpoints" of the alias file: '
        f'"{model.name}": "{" + ".join(["model", *["text encoder"] * len(family.encoders), "vae"])}"'
    )
    if model.parts and len(model.parts) != len(slots) + 1:
        hint = f"{model.name!r} names {len(model.parts)} files and {family.name} has {len(slots) + 1}; {way}"
        return [], [Missing("checkpoint", DIFFUSION, model.name, hint)]
    files, missing = [], []
    for index, (folder, pattern) in enumerate(slots):
        if model.parts:
            try:
                files.append(library.find(model.parts[index + 1], folder))
            except ValueError as error:
                missing.append(Missing("checkpoint", folder, model.parts[index + 1], str(error)))
            continue
        found = fitting(pattern, library.files.get(folder, ()))
        if len(found) == 1:
            files.append(found[0])
            continue
        kind = "VAE" if folder == VAE else "text encoder"
        what = f"several files fit: {', '.join(found)}" if found else f"none is in models/{folder}"
        hint = f"{family.name} needs its {kind} ({pattern}), and {what}; {way}"
        missing.append(Missing("checkpoint", folder, pattern, hint))
    return files, missing
