"""The file that is kept of a training: factors in half precision, and how far it got."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

Parts = dict[str, dict[str, Tensor]]


@dataclass(frozen=True)
class Compact:
    """parts: state dicts by `vae`, `unet`, `control` (without what is tied), `lora.0` to `lora.5`;
    only what has been trained. spent and steps: seconds and steps of training by stage. done:
    finished stages."""

    parts: Parts
    spent: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    done: tuple[str, ...] = ()


def write_compact(path: Path, compact: Compact) -> None:
    flat = {
        f"{part}|{key}": value.detach().half().cpu().contiguous()
        for part, state in compact.parts.items()
        for key, value in state.items()
    }
    note = json.dumps({"spent": compact.spent, "steps": compact.steps, "done": compact.done})
    # A slice that is killed while it writes leaves the file before this one whole.
    unfinished = path.with_suffix(".part")
    save_file(flat, str(unfinished), {"note": note})
    os.replace(unfinished, path)


def read_compact(path: Path) -> Compact:
    """In float32 on the CPU."""
    parts: Parts = {}
    with safe_open(str(path), "pt") as file:
        note = json.loads((file.metadata() or {})["note"])
        for key in file.keys():  # noqa: SIM118
            part, name = key.split("|", 1)
            parts.setdefault(part, {})[name] = file.get_tensor(key).float()
    return Compact(parts, note["spent"], note["steps"], tuple(note["done"]))
