"""What lies on disk between two slices, and what is carried off: the files of weights.py."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..networks.unet import is_tied
from ..weights import Note, Part, Parts, read_parts, write_part
from ..world import IDENTITIES
from .loop import Progress

STAGES = ("vae", "unet", "control", *(f"lora_{i + 1}" for i in range(len(IDENTITIES))))
"""In their order; each is a part of what is shipped."""


class State:
    """nets by stage; the LoRAs' factors by stage; notes of the stages that have begun; progress of
    the one that is under way."""

    def __init__(self, nets: dict[str, nn.Module], device: torch.device):
        self.nets, self.device = nets, device
        self.loras: dict[str, dict[str, Tensor]] = {}
        self.notes: dict[str, Note] = {}
        self.progress: Progress | None = None

    def done(self, stage: str) -> bool:
        return stage in self.notes and self.notes[stage].done

    def begin(self, stage: str) -> Progress:
        """Where the stage was left, or its beginning."""
        if self.progress is None or self.progress.key != stage:
            note = self.notes.get(stage)
            self.progress = Progress(stage)
            # A LoRA is kept when it is finished; one that was under way elsewhere begins anew.
            if note is not None and stage in self.nets:
                self.progress.step, self.progress.spent = note.steps, note.seconds
        return self.progress

    def finish(self, stage: str) -> None:
        self.notes[stage] = replace(self.notes[stage], done=True)
        self.progress = None

    def note(self, progress: Progress, batch: int) -> None:
        """How far a stage is. batch: samples of each step."""
        old = self.notes.get(progress.key, Note(0, 0, 0.0, False))
        samples = old.samples + (progress.step - old.steps) * batch
        self.notes[progress.key] = Note(progress.step, samples, progress.spent, False)

    def save(self, work: Path) -> None:
        """Replaces the file whole: a slice that is killed now leaves the old one."""
        unfinished = work / "state.part"
        state = {
            "nets": {name: _without_lora(net.state_dict()) for name, net in self.nets.items()},
            "loras": self.loras,
            "notes": {stage: vars(note) for stage, note in self.notes.items()},
            "progress": None if self.progress is None else vars(self.progress),
        }
        torch.save(state, unfinished)
        unfinished.replace(work / "state.pt")

    def load(self, work: Path) -> bool:
        """False where there is nothing."""
        path = work / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        self.loras = state["loras"]
        self.notes = {stage: Note(**note) for stage, note in state["notes"].items()}
        self.progress = None if state["progress"] is None else Progress(**state["progress"])
        return True

    def parts(self) -> Parts:
        """What has been trained so far; a LoRA that is not finished would look as if it were."""
        states = {name: _without_lora(net.state_dict()) for name, net in self.nets.items()}
        states["control"] = {k: v for k, v in states["control"].items() if not is_tied(k)}
        states |= self.loras
        return {
            stage: Part(states[stage], note)
            for stage, note in self.notes.items()
            if stage in states
        }

    def ship(self, out: Path) -> None:
        """Write the parts."""
        for name, part in self.parts().items():
            write_part(out, name, part)

    def restore(self, folder: Path) -> bool:
        """Go on from shipped parts, False where there are none: budgets go on too, optimisers and
        running means start anew."""
        parts = read_parts(folder)
        for name, part in parts.items():
            self.notes[name] = part.note
            if name in self.nets:
                self.nets[name].load_state_dict(part.state, strict=name != "control")
            else:
                self.loras[name] = {k: v.to(self.device) for k, v in part.state.items()}
        return bool(parts)


def _without_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if ".lora_" not in key}
