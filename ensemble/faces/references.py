"""Reference faces: pictures from a socket, or those of the alias file's people."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import folder_paths
import torch

from ..lora.aliases import Aliases, read_aliases
from ..pictures import read_picture
from ..prompt.errors import shown
from .boxes import Face
from .landmarks import FaceInputs, aligned_faces
from .warp import Reference


def parse_names(names: str) -> list[str]:
    return [name for part in names.split(",") if (name := part.strip())]


def reference_files(names: str) -> list[list[Path]]:
    """The picture files of each named person, in the input folder. Raises ValueError for a person,
    or a picture, that is not there, and AliasFileError for a broken alias file."""
    aliases = read_aliases() if parse_names(names) else Aliases("", {}, {})
    return [_files(name, aliases) for name in parse_names(names)]


def _files(name: str, aliases: Aliases) -> list[Path]:
    entry = aliases.people.get(name)
    if entry is None:
        known = ", ".join(map(shown, sorted(aliases.people))) or "nobody"
        raise ValueError(
            f"names: {shown(name)} is nobody in section 'people' of {aliases.path}. There: {known}."
        )
    faces = entry.get("faces", ())
    files = [faces] if isinstance(faces, str) else faces
    if not isinstance(files, list) or not files or not all(isinstance(f, str) for f in files):
        raise ValueError(
            f"names: {shown(name)} in {aliases.path} has no faces; write "
            f'"faces": ["picture.png"], names of pictures in the input folder.'
        )
    return [_picture(name, file) for file in files]


def _picture(name: str, file: str) -> Path:
    folder = folder_paths.get_input_directory()
    path = Path(folder) / file
    if not folder_paths.is_within_directory(folder, str(path)) or not path.is_file():
        raise ValueError(
            f"names: {shown(name)} has the face {shown(file)}, which is no picture in the input "
            "folder."
        )
    return path


def named_pictures(names: str) -> Iterator[tuple[str, Iterator[torch.Tensor]]]:
    """Each named person with their pictures `[1,H,W,3]`, which are read as they are asked for."""
    for name, files in zip(parse_names(names), reference_files(names), strict=True):
        yield name, (_read(path, name) for path in files)


def named_references(names: str, face_detection: Any) -> list[Reference]:
    """One reference per named person: the first of its pictures that shows a face."""
    inputs = FaceInputs(face_detection=face_detection)
    references = []
    for name, pictures in named_pictures(names):
        found = (_biggest(image[0], aligned_faces(image, inputs).faces[0]) for image in pictures)
        reference = next(filter(None, found), None)
        if reference is None:
            raise ValueError(
                f"names: no face with landmarks in the pictures of {shown(name)}. {_HELP}"
            )
        references.append(reference)
    return references


_HELP = (
    "Landmarks come from reference_landmarks, from face_detection, or from "
    "mediapipe_face_fp32.safetensors (Comfy-Org/mediapipe) in models/detection."
)


def _read(path: Path, name: str) -> torch.Tensor:
    try:
        return read_picture(path)
    except ValueError as error:
        raise ValueError(f"names: {shown(name)}: {error}") from error


def linked_references(images: torch.Tensor, landmarks: Any, face_detection: Any) -> list[Reference]:
    """The biggest face of each picture of IMAGE `[K,H,W,C]`. ValueError for a picture without."""
    found = aligned_faces(images, FaceInputs(landmarks=landmarks, face_detection=face_detection))
    references = [_biggest(*pair) for pair in zip(images, found.faces, strict=True)]
    if None in references:
        number = references.index(None) + 1
        raise ValueError(f"reference: no face with landmarks in picture {number}. {_HELP}")
    return list(filter(None, references))


def _biggest(picture: torch.Tensor, faces: Sequence[Face]) -> Reference | None:
    """The first face with landmarks: faces come biggest first."""
    best = next((face for face in faces if face.landmarks is not None), None)
    return None if best is None else Reference(picture, best)


def references_fingerprint(names: str) -> str:
    """Equal as long as the named people have the same pictures, unedited."""
    stats = [(str(p), p.stat().st_mtime_ns) for files in reference_files(names) for p in files]
    return repr(stats)
