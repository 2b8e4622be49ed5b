"""Model and conditioning for some faces at once: from PEOPLE, or from a plain model."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol

import torch
from comfy.model_patcher import ModelPatcher

from ..prompt.emphasis import Weights
from ..regional.build import adapters_of, common_length
from ..regional.crops import CanvasCrop, Painter
from ..regional.encode import encode
from ..regional.exact import Exact
from ..regional.families import family_of
from ..regional.patch import (
    NEGATIVE,
    POSITIVE,
    WHOLE,
    RegionalPatch,
    Row,
    marked,
    without_regional,
)
from ..regional.people import People, Text
from ..regional.stack import AdapterStack, as_patcher
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

    def run(self, unet, rows: Sequence[Row | None], call, args, options):
        faces = len(self.owners)
        mine = [
            None if row is None else Row(row.patch, self.owners[i % faces], row.kind)
            for i, row in enumerate(rows)
        ]
        return self.exact.run(unet, mine, call, args, options)


def joined(entries: Sequence[list], tokens: int) -> list:
    """One conditioning entry whose batch items are `entries`' texts, each repeated to `tokens`.

    Tensors that all entries have in one shape (pooled vectors, attention masks) are laid in the
    batch too; anything else is the first entry's.
    """
    contexts = [context.repeat(1, tokens // context.shape[1], 1) for context, _ in entries]
    values = dict(entries[0][1])
    for key, first in values.items():
        others = [entry[1].get(key) for entry in entries]
        if isinstance(first, torch.Tensor) and all(
            isinstance(other, torch.Tensor) and other.shape == first.shape for other in others
        ):
            values[key] = torch.cat(others)
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
        common = people.base
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
        return adapters_of(self.people, exact=True)

    @cached_property
    def _patcher(self) -> ModelPatcher:
        """One for all runs: core counts a module that two patchers hold as leaked."""
        return as_patcher(self._adapters)

    def seed_offset(self, target: Target) -> int:
        return 0 if target.person is None else self.people.people[target.person].seed_offset

    def _texts(self, target: Target) -> tuple[list, list]:
        """Positive and negative entry; of a schedule of texts the first, as in regional runs."""
        if target.person is None:
            return self.common.conditioning[0], self.people.negative.conditioning[0]
        person = self.people.people[target.person]
        return person.positive.conditioning[0], person.negative.conditioning[0]

    def _lengths(self, target: Target) -> tuple[int, ...]:
        return tuple(entry[0].shape[1] for entry in self._texts(target))

    def groups(self, targets: Sequence[Target]) -> list[list[Target]]:
        if not targets:
            return []
        lengths = [n for target in targets for n in self._lengths(target)]
        repeatable = family_of(self.model).repeats_texts
        if len(set(lengths)) == 1 or (repeatable and common_length(lengths)):
            return [list(targets)]
        by_length: dict[tuple[int, ...], list[Target]] = {}
        for target in targets:
            by_length.setdefault(self._lengths(target), []).append(target)
        return list(by_length.values())

    def paint(self, targets: Sequence[Target], size: int) -> Painter:
        owners = tuple(-1 if t.person is None else t.person for t in targets)
        patch = RegionalPatch(FaceRows(Exact(self._adapters), owners), WHOLE)
        model = patch.attach(self.people.model, self._patcher)
        pairs = [self._texts(target) for target in targets]
        crop = _crop(targets, size)
        lengths = [entry[0].shape[1] for pair in pairs for entry in pair]
        sides = []
        for side, kind in enumerate((POSITIVE, NEGATIVE)):
            entries = [pair[side] for pair in pairs]
            tokens = common_length(lengths) if family_of(model).repeats_texts else None
            entry = joined(entries, tokens or entries[0][0].shape[1])
            row = Row(patch.identity, None, kind)
            sides.append(marked([entry], row, **crop.lent(self.lent[side])))
        return Painter(model, *sides)
