"""What lies on disk between two slices, and what is carried off: the compact file."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ..compact import Compact, Parts, read_compact, write_compact
from ..networks.unet import is_tied
from ..world import IDENTITIES
from .loop import Progress

STAGES = ("vae", "unet", "control", "loras")
NETS = ("vae", "unet", "control")
Loras = dict[int, dict[str, Tensor]]


class State:
    """The nets, the finished LoRAs by identity, what each stage has spent in seconds and in steps,
    and which are done; progress: of the stage that is under way."""

    def __init__(self, nets: dict[str, nn.Module], device: torch.device):
        self.nets, self.device = nets, device
        self.loras: Loras = {}
        self.spent: dict[str, float] = {stage: 0.0 for stage in STAGES}
        self.steps: dict[str, int] = {name: 0 for name in NETS}
        self.done: list[str] = []
        self.progress: Progress | None = None

    def begin(self, key: str) -> Progress:
        """Where the stage or LoRA `key` was left, or its beginning."""
        if self.progress is None or self.progress.key != key:
            step, spent = self.steps.get(key, 0), self.spent.get(key, 0.0)
            self.progress = Progress(key, step, spent=spent)
        return self.progress

    def finish(self, stage: str) -> None:
        self.done.append(stage)
        self.progress = None

    def save(self, work: Path, out: Path) -> None:
        """Replaces both files whole: a slice that is killed now leaves the old ones."""
        unfinished = work / "state.part"
        state = {
            "nets": {name: _without_lora(net.state_dict()) for name, net in self.nets.items()},
            "loras": self.loras,
            "spent": self.spent,
            "steps": self.steps,
            "done": self.done,
            "progress": None if self.progress is None else vars(self.progress),
        }
        torch.save(state, unfinished)
        unfinished.replace(work / "state.pt")
        write_compact(out / "compact.safetensors", self.compact())

    def load(self, work: Path) -> bool:
        """False where there is nothing."""
        path = work / "state.pt"
        if not path.exists():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        self.loras, self.done = state["loras"], state["done"]
        self.spent, self.steps = state["spent"], state["steps"]
        self.progress = None if state["progress"] is None else Progress(**state["progress"])
        return True

    def compact(self) -> Compact:
        """What has been trained so far; a LoRA that is not finished would look as if it were."""
        parts: Parts = {}
        for name, net in self.nets.items():
            if self.spent[name] > 0 or name in self.done:
                parts[name] = _without_lora(net.state_dict())
        if "control" in parts:
            own = parts["control"].items()
            parts["control"] = {key: value for key, value in own if not is_tied(key)}
        parts |= {f"lora.{i}": state for i, state in self.loras.items()}
        return Compact(parts, dict(self.spent), dict(self.steps), tuple(self.done))

    def restore(self, file: Path) -> None:
        """Go on from a compact file: budgets go on too, optimisers and running means start anew."""
        compact = read_compact(file)
        self.spent.update(compact.spent)
        self.steps.update(compact.steps)
        self.done = list(compact.done)
        for name in NETS:
            if name in compact.parts:
                self.nets[name].load_state_dict(compact.parts[name], strict=name != "control")
        for i in range(len(IDENTITIES)):
            if f"lora.{i}" in compact.parts:
                state = compact.parts[f"lora.{i}"]
                self.loras[i] = {key: value.to(self.device) for key, value in state.items()}


def _without_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if ".lora_" not in key}
