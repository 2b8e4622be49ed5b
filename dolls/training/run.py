"""A slice of the training: goes on where the last one stopped, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..networks.autoencoder import Autoencoder
from ..networks.text import TextEncoder
from ..networks.unet import ControlNet, UNet, lora_layers
from ..world import IDENTITIES
from .batches import Batches, Mix
from .data import OutOfTimeError, Scenes, build, pictures, to_float
from .loop import Plan, Progress, Slice, Watcher, train
from .render import Drawers, Job, jobs
from .samples import Models, as_bytes, look, write_grid
from .stages import Crops, autoencoder_jobs, autoencoder_loss, noise_loss, trained
from .state import STAGES, State

_LORA_RANK = 8
_LEAST = 45.0  # seconds: with less left, nothing new is begun
_TO_LOOK = 8.0  # seconds: with less left, no samples are made


@dataclass(frozen=True)
class Settings:
    """minutes: budget of each of STAGES; the LoRAs share theirs. steps: of each stage and LoRA, for
    a trial, instead. pictures: scenes for UNet and ControlNet; a tenth for the autoencoder, a
    fiftieth for each LoRA. batch: of the UNet and the ControlNet; half of it for LoRAs. rate: of
    UNet and ControlNet."""

    work: Path
    out: Path
    minutes: tuple[float, float, float, float] = (2.0, 7.5, 3.0, 2.5)
    steps: int = 0
    pictures: int = 48_000
    batch: int = 256
    autoencoder_batch: int = 64
    rate: float = 1e-3
    seed: int = 1
    compiled: bool = False

    def plan(self, stage: str, rate: float, averaged: bool) -> Plan:
        seconds = 60 * self.minutes[STAGES.index(stage)]
        if stage == "loras":
            seconds /= len(IDENTITIES)
        warm = self.steps // 4 + 1 if self.steps else 150
        return Plan(seconds, rate, self.steps, warm, averaged)


class Run:
    def __init__(
        self,
        settings: Settings,
        device: torch.device,
        drawers: Drawers,
        time_slice: Slice,
        tell: Callable[[str], None],
    ):
        self.settings, self.device, self.drawers = settings, device, drawers
        self.slice, self.tell = time_slice, tell
        torch.manual_seed(settings.seed)
        self.text = TextEncoder().to(device)
        self.vae, self.unet, self.control = Autoencoder(), UNet(), ControlNet()
        if device.type == "cuda":
            # All of it is convolutions, which are faster so; the others have norms between.
            self.vae.to(memory_format=torch.channels_last)
        nets = {"vae": self.vae, "unet": self.unet, "control": self.control}
        self.state = State({name: net.to(device) for name, net in nets.items()}, device)
        if settings.compiled:
            torch._dynamo.config.recompile_limit = 32  # shapes, regions or none, training or not
            self.unet.compile(dynamic=False)
        self._scenes: dict[str, Scenes] = {}

    def go(self) -> bool:
        """Whether everything is trained."""
        stages = {
            "vae": self._autoencoder,
            "unet": self._unet,
            "control": self._control,
            "loras": self._loras,
        }
        for stage in STAGES:
            if stage in self.state.done:
                continue
            if self.slice.left() < _LEAST:
                return False
            try:
                if not stages[stage]():
                    return False
            except OutOfTimeError:
                return False
            self.state.finish(stage)
            self._save()
        return True

    def _save(self) -> None:
        self.state.save(self.settings.work, self.settings.out)

    def _train(
        self,
        stage: str,
        progress: Progress,
        parameters: list[nn.Parameter],
        loss: Callable[[int], Tensor],
        plan: Plan,
    ) -> bool:
        before = self.state.spent[stage] - progress.spent

        def save(progress: Progress) -> None:
            self.state.spent[stage] = before + progress.spent
            if stage in self.state.steps:
                self.state.steps[stage] = progress.step
            self._save()

        self.tell(f"{progress.key}: from step {progress.step}, {progress.spent:.0f} s spent")
        watcher = Watcher(save, self.tell)
        finished = train(parameters, loss, plan, progress, self.slice, watcher)
        self.tell(f"{progress.key}: step {progress.step}, {progress.spent:.0f} s spent")
        return finished

    def _sets(self, name: str, wanted: dict[str, list[Job]]) -> dict[str, Scenes]:
        """Encoded scenes by shape, on the device; from the work folder where they are there."""
        sets = {}
        for shape, row in wanted.items():
            key = f"{name}_{shape}_{len(row)}"
            path = self.settings.work / f"{key}.safetensors"
            if path.exists():
                scenes = Scenes.load(path)
            else:
                began = self.slice.passed()
                enough = lambda: self.slice.left() > _LEAST  # noqa: E731
                scenes = build(self.vae, row, self.drawers, self.device, enough)
                scenes.save(path)
                self.tell(f"{key}: drawn and encoded in {self.slice.passed() - began:.0f} s")
            sets[shape] = scenes.to(self.device)
        return sets

    def _world(self) -> dict[str, Scenes]:
        """The ordinary scenes: UNet and ControlNet learn from the same."""
        if not self._scenes:
            self._scenes = self._sets("scenes", jobs(self.settings.pictures, 0))
        return self._scenes

    def _autoencoder(self) -> bool:
        wanted = autoencoder_jobs(self.settings.pictures // 10)
        drawn = [pictures(self.drawers.render(row)).to(self.device) for row in wanted.values()]
        self.tell(f"vae: {sum(map(len, drawn))} pictures")
        crops = Crops(drawn, self.settings.autoencoder_batch, self.settings.seed)
        progress = self.state.begin("vae")
        if progress.step == 0:
            self.vae.calibrate(crops.draw(0))
        plan = self.settings.plan("vae", 7e-4, averaged=False)
        loss = autoencoder_loss(self.vae, crops)
        finished = self._train("vae", progress, trained(self.vae), loss, plan)
        with torch.no_grad():
            shown = torch.cat([to_float(each[:3, :256, :256]) for each in drawn])
            decoded = self.vae.decode(self.vae.encode(shown))
        write_grid(self.settings.out / "vae.png", as_bytes(shown), as_bytes(decoded))
        return finished

    def _unet(self) -> bool:
        mix = Mix(self.settings.batch, drop=0.1)
        batches = Batches(self._world(), self.text, mix, self.settings.seed + 1)
        plan = self.settings.plan("unet", self.settings.rate, averaged=True)
        loss = noise_loss(self.unet, batches)
        progress = self.state.begin("unet")
        finished = self._train("unet", progress, trained(self.unet), loss, plan)
        self._look("unet", None, None)
        return finished

    def _control(self) -> bool:
        progress = self.state.begin("control")
        if progress.step == 0:
            self.control.start_from(self.unet.state_dict())
        self.unet.requires_grad_(False)
        self.control.tie(self.unet.state_dict())
        mix = Mix(self.settings.batch, drop=0.25, hints=True)
        batches = Batches(self._world(), self.text, mix, self.settings.seed + 2)
        plan = self.settings.plan("control", self.settings.rate, averaged=True)
        loss = noise_loss(self.unet, batches, self.control)
        finished = self._train("control", progress, trained(self.control), loss, plan)
        self._look("control", None, self.control)
        return finished

    def _loras(self) -> bool:
        self._scenes = {}
        self.unet.requires_grad_(False)
        self.control.tie(self.unet.state_dict())
        for identity in range(len(IDENTITIES)):
            if identity in self.state.loras:
                continue
            if self.slice.left() < _LEAST or not self._lora(identity):
                return False
            self._save()
        return True

    def _lora(self, identity: int) -> bool:
        count, base = self.settings.pictures // 50, 60_000_000 + 5_000_000 * identity
        sets = self._sets(f"lora{identity}", jobs(count, base, identity))
        mix = Mix(self.settings.batch // 2, drop=0.05, regional=0.6)
        batches = Batches(sets, self.text, mix, self.settings.seed + 10 + identity)
        layers = list(lora_layers(self.unet))
        generator = torch.Generator().manual_seed(self.settings.seed + identity)
        for _, layer in layers:
            layer.add_lora(_LORA_RANK, generator)
        try:
            plan = self.settings.plan("loras", 2e-3, averaged=False)
            progress = self.state.begin(f"lora {identity}")
            loss = noise_loss(self.unet, batches)
            if not self._train("loras", progress, trained(self.unet), loss, plan):
                return False
            self.state.loras[identity] = {
                f"{name}.{factor}": parameter.detach().clone()
                for name, layer in layers
                for factor, parameter in zip("ab", layer.lora(), strict=True)
            }
            self._look(f"lora{identity}", identity, self.control)
        finally:
            for _, layer in layers:
                layer.remove_lora()
        return True

    def _look(self, name: str, identity: int | None, control: ControlNet | None) -> None:
        if self.slice.left() > _TO_LOOK:
            models = Models(self.vae, self.unet, control, self.text)
            for line in look(models, self.settings.out, name, identity, bool(self.settings.steps)):
                self.tell(line)
