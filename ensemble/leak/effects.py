"""Does person i's LoRA show in person j's region? The effect matrix, without a picture of truth.

With the same noise the picture is sampled with everybody's LoRA at strength 0, and once more for each
person with theirs alone at full strength. The difference of the two latents is the LoRA's effect:

    E[i, j] = rms of the effect of i's LoRA in j's area / rms of it in i's own area

1 on the diagonal; 0 elsewhere where nothing leaks, about 1 where a LoRA acts everywhere. Only LoRAs of
the diffusion model are switched: texts stay as they were encoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import comfy.utils
import numpy as np
import torch
from scipy import ndimage, stats

from ..regional.build import build
from ..regional.people import People
from ..regional.sampling import SamplingSettings
from ..regions.weights import reduce_to


class Run(Protocol):
    def __call__(self, strengths: Sequence[float], seed: int) -> torch.Tensor:
        """The latent `[B,C,…,h,w]` with everybody's LoRA at their strength (1: as prompted)."""
        ...


class Interval(NamedTuple):
    """Mean and half width of the 95 % interval; the latter None with a single seed."""

    mean: float
    half: float | None


@dataclass(frozen=True)
class Effects:
    """tables `[seeds,N,N]`: E of each seed. A row is NaN where a LoRA has no effect at all."""

    tables: np.ndarray

    @property
    def people(self) -> int:
        return self.tables.shape[1]

    def cell(self, i: int, j: int) -> Interval:
        return interval(self.tables[:, i, j])

    @property
    def leak(self) -> Interval:
        """Mean off the diagonal, over the LoRAs that have an effect."""
        others = ~np.eye(self.people, dtype=bool)
        return interval(np.array([_mean(table[others]) for table in self.tables]))

    @property
    def without_effect(self) -> tuple[int, ...]:
        """People whose LoRA changes nothing in their own area, whatever the seed."""
        return tuple(np.flatnonzero(np.isnan(self.tables).all((0, 2))).tolist())


def interval(values: np.ndarray) -> Interval:
    """Of one value per seed: mean ± t(0.975, n - 1) s / sqrt(n), s the sample's standard deviation
    (Student 1908). Seeds without a value are left out; NaN where none has one."""
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return Interval(_mean(known), None)
    half = stats.t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / len(known) ** 0.5
    return Interval(_mean(known), float(half))


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def areas(masks: torch.Tensor, height: int, width: int, margin: int = 1) -> np.ndarray:
    """Which of the latent's pixels are whose: bool `[N,height,width]` of masks `[N,H,W]`.

    A pixel belongs to the person with the greatest weight there, if that is half or more. `margin`
    pixels along borders with others count for nobody (a convolution reaches across), unless nothing
    would be left. ValueError for a person who has no pixel.
    """
    weights = reduce_to(masks.cpu(), height, width).numpy()
    first = weights.argmax(0)
    owned = [(first == i) & (weights[i] >= 0.5) for i in range(len(weights))]
    for number, area in enumerate(owned, 1):
        if not area.any():
            raise ValueError(
                f"people: person {number} has no part of the latent where their region is the "
                "strongest and at least one half, so no effect can be measured there. Give them a "
                "larger region, or a larger latent."
            )
    if margin == 0:
        return np.stack(owned)
    inner = (ndimage.binary_erosion(a, np.ones((3, 3)), margin, border_value=1) for a in owned)
    return np.stack([i if i.any() else a for i, a in zip(inner, owned, strict=True)])


def effect_matrix(run: Run, masks: torch.Tensor, seeds: Sequence[int], margin: int = 1) -> Effects:
    """E for each seed: `len(masks) + 1` runs a seed. masks `[N,H,W]`: everybody's region."""
    people = len(masks)
    tables = np.full((len(seeds), people, people), np.nan)
    for table, seed in zip(tables, seeds, strict=True):
        before = run([0.0] * people, seed)
        height, width = before.shape[-2:]
        own = areas(masks, height, width, margin)
        for i in range(people):
            change = run([float(i == j) for j in range(people)], seed) - before
            squares = change.double().pow(2).reshape(-1, *change.shape[-2:]).mean(0).cpu().numpy()
            sizes = np.array([squares[area].mean() ** 0.5 for area in own])
            if sizes[i] > 0:
                table[i] = sizes / sizes[i]
    return Effects(tables)


def with_strengths(people: People, strengths: Sequence[float]) -> People:
    """The same people with the strengths of everybody's LoRAs multiplied."""
    members = []
    for person, strength in zip(people.people, strengths, strict=True):
        patches = {
            key: tuple(patch._replace(strength=patch.strength * strength) for patch in each)
            for key, each in person.patches.items()
        }
        members.append(replace(person, patches=patches))
    return replace(people, people=tuple(members))


def sampled(people: People, latent: dict, settings: SamplingSettings) -> Run:
    """Runs over a LATENT by core's KSampler; `settings.seed` is not used."""

    # ComfyUI's own nodes.py, not the pack's folder of that name.
    from nodes import common_ksampler

    def run(strengths: Sequence[float], seed: int) -> torch.Tensor:
        regional = build(with_strengths(people, strengths))
        done = common_ksampler(
            regional.model, seed, settings.steps, settings.cfg, settings.sampler,
            settings.scheduler, regional.positive, regional.negative, latent, settings.denoise,
        )  # fmt: skip
        return done[0]["samples"]

    return run


def seeds_of(first: int, count: int) -> list[int]:
    """Counted up from the first; after the highest that core takes comes 0."""
    return [(first + n) % 2**64 for n in range(count)]


def effects_of_people(
    people: People, latent: dict, settings: SamplingSettings, seeds: int
) -> Effects:
    """The matrix of PEOPLE, for `seeds` seeds from `settings.seed` on. ValueError for fewer than two
    people, and where nobody has a LoRA."""
    if len(people.people) < 2:
        raise ValueError(
            f"people: {len(people.people)} in the prompt, and a LoRA can only leak into somebody "
            "else's region. Write two parts or more after the second BREAK."
        )
    if not any(person.patches for person in people.people):
        raise ValueError(
            "people: nobody has a LoRA that changes the model, so there is no effect to measure. Write "
            "<lora:name:1> into a person's part."
        )
    run = sampled(people, latent, settings)
    progress = comfy.utils.ProgressBar(seeds * (len(people.people) + 1))

    def counted(strengths: Sequence[float], seed: int) -> torch.Tensor:
        result = run(strengths, seed)
        progress.update(1)
        return result

    return effect_matrix(counted, people.masks, seeds_of(settings.seed, seeds))
