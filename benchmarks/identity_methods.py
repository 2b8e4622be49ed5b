"""The ways to paint several people with a LoRA each, which the identity benchmark compares.

Every method gets the same model, texts, regions, pose, noise and sampler; all but `inpaint` sample once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import engine
import identity_scenes
import peers
import regional

METHODS = ("fused", "isolated", "exact", "core_hooks", "merged", "plain", "inpaint")
PEERS = ("freefuse", "prompt_control")
"""Packs whose folders the command line names; see peers.py."""
WITHOUT_LORAS = ("plain",)
INPAINT_DENOISE = 0.8


@dataclass(frozen=True)
class Kit:
    """What all pictures are made with. texts: of each person; loras: their files."""

    model: Any
    clip: Any
    vae: Any
    control: Any
    texts: tuple[str, ...]
    loras: tuple[Path, ...]
    counts: tuple[str, ...]
    place: str
    negative: str
    steps: int
    cfg: float
    peers: Mapping[str, str] = field(default_factory=dict)
    """Folders of peers by their names."""


class Painter:
    """One stage, painted by each method: `getattr(painter, method)(strengths, seed)` gives a latent."""

    def __init__(self, kit: Kit, stage: identity_scenes.Stage):
        import comfy.utils

        self.kit, self.stage = kit, stage
        self.texts, self.files = kit.texts[: stage.people], kit.loras[: stage.people]
        self.base = kit.counts[stage.people] + kit.place
        self.people = self.composed()
        self.tensors = [comfy.utils.load_torch_file(str(f), safe_load=True) for f in self.files]

    def composed(self, **settings):
        """The people by the pack's defaults, but for these settings."""
        from ensemble_portraits.ensemble.regional.compose import compose
        from ensemble_portraits.ensemble.regional.settings import Settings

        parts = [f"{t} <lora:{f.stem}:1>" for t, f in zip(self.texts, self.files, strict=True)]
        text = " BREAK ".join([self.base, "", *parts])
        return compose(
            self.kit.model, self.kit.clip, text=text, negative=self.kit.negative,
            settings=Settings(**settings), pose=self.stage.pose(),
        )  # fmt: skip

    def fused(self, strengths: Sequence[float], seed: int):
        return self._ours("fused", strengths, seed)

    def isolated(self, strengths: Sequence[float], seed: int):
        """`fused` with `isolate` at 1 over all of sampling."""
        from ensemble_portraits.ensemble.regional.isolation import Isolation

        return self._ours("fused", strengths, seed, isolation=Isolation(1.0))

    def exact(self, strengths: Sequence[float], seed: int):
        return self._ours("exact", strengths, seed)

    def core_hooks(self, strengths: Sequence[float], seed: int):
        return self._sample(*regional.hooked(self.people, self.tensors, list(strengths)), seed)

    def merged(self, strengths: Sequence[float], seed: int):
        """All LoRAs in the weights, and one text for all."""
        model, clip = self._with_loras(dict(enumerate(strengths)))
        return self._sample(model, *self._encoded(clip, self._whole()), seed)

    def plain(self, strengths: Sequence[float], seed: int):
        """No LoRA: what the words alone do."""
        return self._sample(self.kit.model, *self._encoded(self.kit.clip, self._whole()), seed)

    def inpaint(self, strengths: Sequence[float], seed: int):
        """The scene without LoRAs, then each person's region again with their LoRA and text alone."""
        latent = self.plain(strengths, seed)
        for i, strength in enumerate(strengths):
            model, clip = self._with_loras({i: strength})
            sides = self._encoded(clip, f"{self.texts[i]}, {self.kit.place}")
            mask = (self.people.masks[i : i + 1] > 0.5).float()
            latent = self._sample(model, *sides, seed + 1 + i, latent, mask)
        return latent

    def freefuse(self, strengths: Sequence[float], seed: int):
        scene = PeerScene(self, strengths)
        return self._sample(*peers.freefuse(scene, self.kit.peers["freefuse"]), seed)

    def prompt_control(self, strengths: Sequence[float], seed: int):
        scene = PeerScene(self, strengths)
        return self._sample(*peers.prompt_control(scene, self.kit.peers["prompt_control"]), seed)

    def _ours(self, method: str, strengths: Sequence[float], seed: int, **changed):
        from ensemble_portraits.ensemble.leak.effects import with_strengths
        from ensemble_portraits.ensemble.regional.build import build
        from ensemble_portraits.ensemble.regional.people import Method

        people = with_strengths(replace(self.people, method=Method(method), **changed), strengths)
        run = build(people)
        return self._sample(run.model, run.positive, run.negative, seed)

    def _whole(self, people: int | None = None) -> str:
        """One text for all, or for the first so many."""
        return ", ".join([self.base, *self.texts[:people]])

    def _with_loras(self, strengths: dict[int, float]):
        """These people's LoRAs by core's LoraLoader; on CLIP always whole, since the effect matrix
        switches those of the model alone."""
        import comfy.sd

        model, clip = self.kit.model, self.kit.clip
        for who, strength in strengths.items():
            model, clip = comfy.sd.load_lora_for_models(
                model, clip, self.tensors[who], strength, 1.0
            )
        return model, clip

    def _encoded(self, clip, text: str) -> tuple[list, list]:
        from nodes import CLIPTextEncode

        return tuple(CLIPTextEncode().encode(clip, each)[0] for each in (text, self.kit.negative))  # type: ignore[return-value]

    def _sample(self, model, positive, negative, seed: int, latent=None, mask=None):
        import torch

        from nodes import ControlNetApplyAdvanced, common_ksampler

        if self.kit.control is not None:
            positive, negative = ControlNetApplyAdvanced().apply_controlnet(
                positive, negative, self.kit.control, self.stage.pose_picture(), 1.0, 0.0, 1.0,
                self.kit.vae,
            )  # fmt: skip
        width, height = self.stage.size
        ratio = self.kit.vae.spacial_compression_encode()
        start: dict = {"samples": latent, "noise_mask": mask}
        if latent is None:
            empty = torch.zeros(1, 4, height // ratio, width // ratio)
            start = {"samples": empty, "downscale_ratio_spacial": ratio}
        denoise = 1.0 if latent is None else INPAINT_DENOISE
        done = common_ksampler(
            model, seed, self.kit.steps, self.kit.cfg, "euler", "normal", positive, negative, start,
            denoise,
        )  # fmt: skip
        return done[0]["samples"]

    def picture(self, latent):
        """IMAGE `[1,H,W,3]`."""
        decoded = self.kit.vae.decode(latent)
        return decoded.reshape(-1, *decoded.shape[-3:])


class PeerScene:
    """A painter's scene as peers.py takes it."""

    def __init__(self, painter: Painter, strengths: Sequence[float]):
        import torch
        from ensemble_portraits.ensemble.regions.weights import region_weights

        self.painter, self.strengths = painter, list(strengths)
        self.patcher, self.people = painter.kit.model, painter.stage.people
        self.loras, self.scenes = painter.tensors, {"fused": painter.people}
        self.weights = region_weights(painter.people.masks, painter.people.base_strength)
        width, height = painter.stage.size
        self.noise = torch.zeros(1, 4, height // 8, width // 8)

    def parsed(self, i: int) -> dict:
        return engine.parsed(self.patcher, self.loras[i])

    def reduced(self, mask, height: int, width: int):
        """The mask `[H,W]` at the latent's size."""
        from ensemble_portraits.ensemble.regions.weights import reduce_to

        return reduce_to(mask[None], height, width)[0]

    def whole_text(self) -> list:
        return self.painter._encoded(self.painter.kit.clip, self.painter._whole())[0]

    def token_places(self, i: int) -> list[int]:
        """Where a person's words stand in the whole text."""
        before, behind = (self._count(self.painter._whole(n)) for n in (i, i + 1))
        return list(range(before + 1, behind + 1))

    def _count(self, text: str) -> int:
        """Tokens of a text without the first and the last of all."""
        tokens = self.painter.kit.clip.tokenize(text)["l"][0]
        ends = [k for k, (token, *_) in enumerate(tokens) if token == tokens[-1][0]]
        return ends[0] - 1
