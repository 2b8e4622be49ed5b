"""Model and conditioning for some faces at once: from PEOPLE, or from a plain model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from comfy.model_patcher import ModelPatcher

from ..prompt.emphasis import Weights
from ..regional.build import adapters_of
from ..regional.crops import CanvasCrop, Painter
from ..regional.encode import encode
from ..regional.exact import Exact
from ..regional.families import family_of
from ..regional.families.references import LATENTS
from ..regional.patch import RegionalPatch, without_regional
from ..regional.people import People, Text
from ..regional.row_names import RowNames
from ..regional.rows import WHOLE, BatchRow, Row, marked
from ..regional.stack import AdapterStack, as_patcher
from ..regional.texts import common_length
from .boxes import Face
from .crop import Crop


@dataclass(frozen=True)
class Target:
    """A face to redraw: in which picture of the batch, and whose (None: nobody's)."""

    picture: int
    face: Face
    crop: Crop
    person: int | None

    @property
    def who(self) -> str:
        """What its noise follows from: the person, or the place where nobody is known."""
        if self.person is not None:
            return f"person {self.person}"
        x, y = self.face.box.centre
        return f"face at {round(x)},{round(y)}"


class FacePainter(Protocol):
    @property
    def model(self) -> ModelPatcher: ...
    def seed_offset(self, target: Target) -> int: ...
    def groups(self, targets: Sequence[Target]) -> list[list[Target]]:
        """Targets that can share a batch; one group for all wherever possible."""
        ...

    def paint(self, targets: Sequence[Target], size: int) -> Painter:
        """What a sampler takes for a batch whose item i is targets[i], at `size` px."""
        ...


def _crop(targets: Sequence[Target], size: int) -> CanvasCrop:
    return CanvasCrop(
        parts=[t.crop.box for t in targets], pictures=[t.picture for t in targets], side=size
    )


@dataclass
class FaceRows:
    """method = exact by batch item: item i of every conditioning entry is face i, whose person is
    owners[i] (-1: nobody, no LoRA)."""

    exact: Exact
    owners: tuple[int, ...]
    around: ClassVar[str] = Exact.around

    def clear(self) -> None:
        self.exact.clear()

    def run(self, unet, rows: Sequence[BatchRow | None], call, args, options):
        faces = len(self.owners)
        mine = [
            None if row is None else replace(row, person=self.owners[i % faces])
            for i, row in enumerate(rows)
        ]
        return self.exact.run(unet, mine, call, args, options)


def joined(entries: Sequence[list], tokens: int) -> list:
    """One conditioning entry whose batch items are `entries`' texts, each repeated to `tokens`.

    Tensors that all entries have in one shape (pooled vectors, attention masks), and lists of such
    (reference latents), are laid in the batch too; anything else is the first entry's.
    """
    contexts = [context.repeat(1, tokens // context.shape[1], 1) for context, _ in entries]
    values = dict(entries[0][1])
    for key, first in values.items():
        others = [entry[1].get(key) for entry in entries]
        if isinstance(first, torch.Tensor) and all(
            isinstance(other, torch.Tensor) and other.shape == first.shape for other in others
        ):
            values[key] = torch.cat(others)
        if key == LATENTS:  # of one number and size: see PeoplePainter.groups
            values[key] = [torch.cat(each) for each in zip(*others, strict=True)]
    return [torch.cat(contexts), values]


@dataclass(frozen=True)
class PlainPainter:
    """One text for all faces; a regional patch of ours is for the whole canvas and goes."""

    model: ModelPatcher
    positive: list
    negative: list

    @staticmethod
    def of(model: ModelPatcher, positive: list, negative: list) -> "PlainPainter":
        return PlainPainter(without_regional(model), positive, negative)

    def seed_offset(self, target: Target) -> int:
        return 0

    def groups(self, targets: Sequence[Target]) -> list[list[Target]]:
        return [list(targets)] if targets else []

    def paint(self, targets: Sequence[Target], size: int) -> Painter:
        crop = _crop(targets, size)
        sides = (crop.conditioning(side) for side in (self.positive, self.negative))
        return Painter(self.model, *sides)


@dataclass(frozen=True)
class PeoplePainter:
    """Everybody's own text, negative and LoRAs on the model without regions.

    common is for faces that are nobody's; `lent` conditionings only give their ControlNets.
    """

    people: People
    common: Text
    lent: tuple[list | None, list | None] = (None, None)

    @staticmethod
    def of(people: People, positive: list | None, negative: list | None) -> "PeoplePainter":
        common = people.base_of_parts
        if people.common.strip() and people.clip is not None:
            common = Text(
                people.common,
                encode(people.clip, people.common, Weights.COMFY, family_of(people.model)),
            )
        return PeoplePainter(people, common, (positive, negative))

    @property
    def model(self) -> ModelPatcher:
        return self.people.model

    @cached_property
    def _adapters(self) -> AdapterStack:
        """The same for every run of a node."""
        return adapters_of(self.people)

    @cached_property
    def _patcher(self) -> ModelPatcher:
        """One for all runs: core counts a module that two patchers hold as leaked."""
        return as_patcher(self._adapters)

    def seed_offset(self, target: Target) -> int:
        return 0 if target.person is None else self.people.people[target.person].seed_offset

    def _texts(self, target: Target) -> tuple[list, list]:
        """Positive and negative conditioning."""
        if target.person is None:
            return self.common.conditioning, self.people.negative.conditioning
        person = self.people.people[target.person]
        return person.positive.conditioning, person.negative.conditioning

    def _schedule(self, target: Target) -> tuple[tuple[float, ...], ...]:
        """When each text of the two conditionings begins, as a fraction of sampling."""
        return tuple(
            tuple(values.get("clip_start_percent", 0.0) for _, values in side)
            for side in self._texts(target)
        )

    def _lengths(self, target: Target) -> tuple[int, ...]:
        return tuple(context.shape[1] for side in self._texts(target) for context, _ in side)

    def _references(self, target: Target) -> tuple:
        """Sizes of the pictures beside their text: others' cannot lie in the same batch."""
        latents = self._texts(target)[0][0][1].get(LATENTS, ())
        return tuple(tuple(latent.shape) for latent in latents)

    def groups(self, targets: Sequence[Target]) -> list[list[Target]]:
        repeatable = family_of(self.model).repeats_texts
        groups: dict[tuple, list[Target]] = {}
        for target in targets:
            key = (
                self._schedule(target),
                () if repeatable else self._lengths(target),
                self._references(target),
            )
            groups.setdefault(key, []).append(target)
        return [part for group in groups.values() for part in self._of_common_length(group)]

    def _of_common_length(self, group: list[Target]) -> list[list[Target]]:
        if common_length([n for target in group for n in self._lengths(target)]):
            return [group]
        parts: dict[tuple[int, ...], list[Target]] = {}
        for target in group:
            parts.setdefault(self._lengths(target), []).append(target)
        return list(parts.values())

    def paint(self, targets: Sequence[Target], size: int) -> Painter:
        owners = tuple(-1 if t.person is None else t.person for t in targets)
        family = family_of(self.people.model)
        exact = Exact(self._adapters, family=family, images=self.people.images)
        patch = RegionalPatch(FaceRows(exact, owners), RowNames(WHOLE))
        model = patch.attach(self.people.model, self._patcher)
        crop = _crop(targets, size)
        tokens = None
        if family_of(model).repeats_texts:
            tokens = common_length([n for target in targets for n in self._lengths(target)])
        sides = []
        for side, lent in enumerate(self.lent):
            moments = zip(*(self._texts(target)[side] for target in targets), strict=True)
            entries = [joined(texts, tokens or texts[0][0].shape[1]) for texts in moments]
            sides.append(marked(entries, Row(patch.identity, None), **crop.lent(lent)))
        return Painter(model, *sides)
