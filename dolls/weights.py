"""The files that are kept of a training: narrow weights in half precision, one file for each part,
with a note of how far it got."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

SHIPPED = Path(__file__).parent / "weights"
State = dict[str, Tensor]


@dataclass(frozen=True)
class Note:
    """How far a part is trained."""

    steps: int
    samples: int
    """Of all steps together."""
    seconds: float
    """Of its budget that are spent."""
    done: bool
    """Whether the budget is."""


@dataclass(frozen=True)
class Part:
    state: State
    note: Note


Parts = dict[str, Part]
"""By name: `vae`, `unet`, `control` (without what is tied), `lora_1` to `lora_6`."""


def write_part(folder: Path, name: str, part: Part) -> None:
    """Replaces the file whole: who is killed meanwhile leaves the one before."""
    half = {key: value.detach().half().cpu().contiguous() for key, value in part.state.items()}
    unfinished = folder / f"{name}.part"
    save_file(half, str(unfinished), {"note": json.dumps(asdict(part.note))})
    os.replace(unfinished, folder / f"{name}.safetensors")


def read_parts(folder: Path) -> Parts:
    """All parts in a folder, in float32 on the CPU."""
    parts: Parts = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(str(path), "pt") as file:
            note = Note(**json.loads((file.metadata() or {})["note"]))
            state = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        parts[path.stem] = Part(state, note)
    return parts
