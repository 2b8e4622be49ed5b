"""A slice of the training: goes on where the last one stopped, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..networks.autoencoder import Autoencoder
from ..networks.text import TextEncoder
from ..networks.unet import ControlNet, UNet, lora_layers, strengthen
from .batches import Batches, Mix
from .data import OutOfTimeError, Scenes, build, pictures, to_float
from .loop import Plan, Progress, Slice, Watcher, train
from .render import Drawers, Job, jobs
from .samples import Look, Models, as_bytes, look, write_grid
from .stages import Crops, Drawn, autoencoder_jobs, autoencoder_loss, noise_loss, trained
from .state import STAGES, State

_LORA_RANK = 6
_LORA_GAIN = 1.4
"""Taught for minutes, a LoRA finds its direction sooner than its size, so it is made that much stronger
when it is done. Two people's own look at 1, 1.2, 1.4, 1.6 and 2: 0.31, 0.36, 0.37, 0.38, 0.32."""
_LEAST = 45.0  # seconds: with less left, nothing new is begun
_TO_LOOK = 30.0  # seconds: with less left, no samples are made


@dataclass(frozen=True)
class Settings:
    """What a run of the program is told."""

    work: Path
    """Where state and scenes lie."""
    out: Path
    """Where weights, sample grids and the log go."""
    minutes: tuple[float, float, float, float] = (30.0, 600.0, 120.0, 15.0)
    """Budgets of autoencoder, UNet, ControlNet and each LoRA."""
    steps: int = 0
    """Of every stage, instead of minutes, for a trial."""
    pictures: int = 25_000
    """Scenes for UNet and ControlNet; a fifth for the autoencoder, a fiftieth for each LoRA."""
    scale: float = 0.75
    """Of the scenes' sides."""
    batch: int = 16
    """Of UNet and ControlNet; half of it for the others."""
    rate: float = 1e-3
    """Of UNet and ControlNet."""
    seed: int = 1

    def plan(self, stage: str, rate: float) -> Plan:
        seconds = 60 * self.minutes[min(STAGES.index(stage), 3)]
        warm = self.steps // 4 + 1 if self.steps else 150
        return Plan(seconds, rate, self.steps, warm, averaged=True)

    @property
    def small_batch(self) -> int:
        return max(1, self.batch // 2)


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
        nets = {"vae": self.vae, "unet": self.unet, "control": self.control}
        for net in nets.values():
            net.to(device, memory_format=torch.channels_last)
        self.state = State(nets, device)
        self._scenes: dict[str, Scenes] = {}

    def go(self) -> bool:
        """Whether everything is trained."""
        stages = {"vae": self._autoencoder, "unet": self._unet, "control": self._control}
        for stage in STAGES:
            if self.state.done(stage):
                continue
            if self.slice.left() < _LEAST:
                return False
            try:
                if not stages.get(stage, partial(self._lora, stage))():
                    return False
            except OutOfTimeError:
                return False
            self.state.finish(stage)
            self._save()
        return True

    def _save(self) -> None:
        self.state.save(self.settings.work)
        self.state.ship(self.settings.out)

    def _train(
        self, stage: str, loss: Callable[[int], Tensor], plan: Plan, batch: int, seen: Models | None
    ) -> bool:
        """Whether the stage is finished. seen: what its sample grids are made with."""
        progress = self.state.begin(stage)
        net = {"vae": self.vae, "control": self.control}.get(stage, self.unet)

        def save(progress: Progress) -> None:
            self.state.note(progress, batch)
            self._save()

        def show() -> None:
            if seen is not None:
                self._look(seen, Look(f"{stage}_{progress.step:06d}"))

        self.tell(f"{stage}: from step {progress.step}, {progress.spent:.0f} s spent")
        watcher = Watcher(save, self.tell, show)
        finished = train(trained(net), loss, plan, progress, self.slice, watcher)
        self.tell(f"{stage}: step {progress.step}, {progress.spent:.0f} s spent")
        return finished

    def _autoencoder(self) -> bool:
        sets = []
        for row in autoencoder_jobs(self.settings.pictures // 5):
            rendered = list(self.drawers.render(row))
            heads = torch.from_numpy(np.stack([each.heads for each in rendered]))
            sets.append(Drawn(pictures(rendered), heads))
        self.tell(f"vae: {sum(len(drawn.pictures) for drawn in sets)} pictures")
        batch = self.settings.small_batch
        loss = autoencoder_loss(self.vae, Crops(sets, batch, self.settings.seed))
        finished = self._train("vae", loss, self.settings.plan("vae", 2e-3), batch, None)
        with torch.no_grad():
            shown = torch.cat([to_float(each.pictures[:3, :192, :192]) for each in sets])
            decoded = self.vae.decode(self.vae.encode(shown.to(self.device)))
        write_grid(self.settings.out / "vae.png", as_bytes(shown), as_bytes(decoded))
        return finished

    def _unet(self) -> bool:
        mix = Mix(self.settings.batch, drop=0.1)
        batches = Batches(self._world(), self.text, mix, self.settings.seed + 1)
        plan = self.settings.plan("unet", self.settings.rate)
        models = Models(self.vae, self.unet, None, self.text)
        finished = self._train("unet", noise_loss(self.unet, batches), plan, mix.size, models)
        self._look(models, Look("unet"))
        return finished

    def _control(self) -> bool:
        if self.state.begin("control").step == 0:
            self.control.start_from(self.unet.state_dict())
        self.unet.requires_grad_(False)
        self.control.tie(self.unet.state_dict())
        mix = Mix(self.settings.batch, drop=0.25, hints=True)
        batches = Batches(self._world(), self.text, mix, self.settings.seed + 2)
        plan = self.settings.plan("control", self.settings.rate)
        loss = noise_loss(self.unet, batches, self.control)
        models = Models(self.vae, self.unet, self.control, self.text)
        finished = self._train("control", loss, plan, mix.size, models)
        self._look(models, Look("control"))
        return finished

    def _lora(self, stage: str) -> bool:
        identity = int(stage.removeprefix("lora_")) - 1
        self._scenes = {}
        count, base = self.settings.pictures // 50, 60_000_000 + 5_000_000 * identity
        sets = self._sets(stage, jobs(count, base, identity, self.settings.scale))
        mix = Mix(self.settings.small_batch, drop=0.05, regional=0.6)
        batches = Batches(sets, self.text, mix, self.settings.seed + 10 + identity)
        self.unet.requires_grad_(False)
        layers = list(lora_layers(self.unet))
        generator = torch.Generator().manual_seed(self.settings.seed + identity)
        for _, layer in layers:
            layer.add_lora(_LORA_RANK, generator)
        try:
            loss = noise_loss(self.unet, batches)
            plan = self.settings.plan(stage, 2e-3)
            if not self._train(stage, loss, plan, mix.size, None):
                return False
            strengthen(self.unet, _LORA_GAIN)
            self.state.loras[stage] = {
                f"{name}.{factor}": parameter.detach().clone()
                for name, layer in layers
                for factor, parameter in zip("ab", layer.lora(), strict=True)
            }
            self._look(Models(self.vae, self.unet, None, self.text), Look(stage, identity))
        finally:
            for _, layer in layers:
                layer.remove_lora()
        return True

    def _world(self) -> dict[str, Scenes]:
        """The ordinary scenes: UNet and ControlNet learn from the same."""
        if not self._scenes:
            wanted = jobs(self.settings.pictures, 0, scale=self.settings.scale)
            self._scenes = self._sets("scenes", wanted)
        return self._scenes

    def _sets(self, name: str, wanted: dict[str, list[Job]]) -> dict[str, Scenes]:
        """Encoded scenes by shape, on the device; from the work folder where they are there."""
        sets = {}
        for shape, row in wanted.items():
            key = f"{name}_{shape}_{len(row)}_{self.settings.scale:g}"
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

    def _look(self, models: Models, what: Look) -> None:
        if self.slice.left() < _TO_LOOK:
            return
        if self.settings.steps:  # a trial
            what = Look(what.name, what.identity, count=2, steps=2, shapes=("portrait",))
        for line in look(models, self.settings.out, what, self.settings.scale):
            self.tell(line)
