"""Which rows of the batch are whose: read off the conditioning entries, once a step."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import comfy.utils
import torch
from comfy.conds import CONDConstant, CONDList

from .families.transformer import METHOD, REFERENCES, Refusal
from .follow import Follower
from .isolation import TOGETHER, Isolation
from .parts import PartOfCanvasError, part_of
from .rows import KEY, PART, BatchRow, Row, Span
from .telling import teller
from .texts import Texts, common_length, repeated, texts_of_bases


@dataclass
class RowNames:
    """The entries of one regional run, told by `identity`.

    regions, each `[H,W]`: of the people whose texts travel as entries (fused). has_loras: whether
    adapters change the model. repeats_texts: texts of rows are repeated to a common length at run
    time, after nodes that lengthen them. one_sequence: everybody's texts stand in one sequence, so
    that rows of a batch must agree in their lengths. refused: what the family cannot share among
    people. isolation: see there. tell: where a line for the person at the screen goes.
    """

    span: Span
    regions: Sequence[torch.Tensor] = ()
    has_loras: bool = False
    repeats_texts: bool = False
    one_sequence: bool = False
    refused: Sequence[Refusal] = ()
    isolation: Isolation = TOGETHER
    takes_references: bool = False
    people: int | None = None
    """How many of the regions are a person's; the rest are of several people together."""
    follower: Follower | None = None
    tell: Callable[[str], None] = field(default_factory=teller)
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    isolate: float = 0.0
    """At the step that is read."""
    cache: dict = field(default_factory=dict)
    """Of one run: Texts by the tensors that they hold, regions by size, lines that were told."""

    def once(self, line: str) -> None:
        """Tell it unless it was told in this run."""
        if line not in self.cache:
            self.cache[line] = True
            self.tell(line)

    def read(self, model, conds, x_in: torch.Tensor, timestep: torch.Tensor) -> tuple[list, dict]:
        """The sides of CFG as core is to see them, and who is who: (side, uuid) -> BatchRow. Core
        gives every entry a uuid per run, and copies entries from one side to the other."""
        inside = self.span.whole or self.span.holds(model, float(timestep[0]))  # reading syncs
        self.isolate = self.isolation.strength and self.isolation.at(model, float(timestep[0]))
        rows: dict[tuple, BatchRow] = {}
        sides = [
            None if entries is None else self._side(side, entries, rows, x_in, timestep, inside)
            for side, entries in enumerate(conds)
        ]
        self._notice(conds)
        return self._of_one_length(sides) if self.repeats_texts else sides, rows

    def _side(self, side: int, entries, rows: dict, x_in, timestep, inside: bool) -> list[dict]:
        counting = [entry for entry in entries if self._counts(entry, inside)]
        told = self._told(counting, timestep) if inside else {}
        texts = {index: self._same(everybody, x_in) for index, everybody in told.items()}
        seen = []
        for index, entry in enumerate(counting):
            row = entry.get(KEY)
            if isinstance(row, Row) and row.text:
                continue
            if inside and self._ours(row):
                mine = BatchRow(
                    row.person, texts.get(index), tuple(x_in.shape[-2:]), part_of(entry, x_in),
                    entry.get("hooks") is not None, self.isolate, side,
                    self.follower.now if self.follower else None,
                )  # fmt: skip
                self._refuse(entry)
                entry = self._in_its_place(entry, row, mine, x_in)
                entry = _with_references(entry, told.get(index, ()))
                rows[side, entry["uuid"]] = mine
            seen.append(entry)
        return seen

    def _of_one_length(self, sides: list) -> list:
        """Our rows' texts repeated to a common length, so that core batches them."""
        texts = [
            e["model_conds"]["c_crossattn"].cond
            for side in sides
            for e in side or ()
            if self._ours(e.get(KEY))
        ]
        tokens = common_length([text.shape[1] for text in texts]) if texts else None
        if tokens is None:
            return sides

        def repeat(entry: dict) -> dict:
            return repeated(entry, tokens) if self._ours(entry.get(KEY)) else entry

        return [side if side is None else [repeat(entry) for entry in side] for side in sides]

    def _notice(self, conds) -> None:
        """Tell what makes a picture that nobody wants and no node refuses."""
        met = [entry.get(KEY) for side in conds for entry in side or ()]
        if any(map(self._ours, met)):
            self.cache["met"] = True  # some guidance samples its own conditioning apart from ours
        if self.has_loras and "met" in self.cache and not all(map(self._ours, met)):
            self.once(
                "some of the conditioning that is sampled is not BreakRegionalPrompt's (a plain "
                "negative, an empty one for Perp-Neg). People's LoRAs do not act on it, which the "
                "guidance exaggerates; link both of its outputs."
            )
        strangers = [row for row in met if isinstance(row, Row)]
        if strangers and not any(map(self._ours, strangers)):
            self.once(
                "the model is of one BreakRegionalPrompt and the conditioning of another, so that "
                "only the scene is painted. Link the outputs of one node."
            )

    def _ours(self, row: object) -> bool:
        return isinstance(row, Row) and row.patch == self.identity

    def _counts(self, entry: dict, inside: bool) -> bool:
        row = entry.get(KEY)
        return not self._ours(row) or row.inside in (None, inside)  # type: ignore[union-attr]

    def _told(self, entries: Sequence[dict], timestep: torch.Tensor) -> dict[int, tuple]:
        """Index of each base entry -> the entries of everybody's texts at this step."""
        if not self.regions:
            return {}
        mine = [e if self._ours(e.get(KEY)) else None for e in entries]
        return texts_of_bases(mine, KEY, len(self.regions), timestep[0], self.people)

    def _same(self, everybody: Sequence[dict], x_in: torch.Tensor) -> Texts:
        """One Texts object for the same tensors, by which keys and values are known again."""
        contexts = tuple(entry["model_conds"]["c_crossattn"].cond for entry in everybody)
        masks = [entry.get("mask") for entry in everybody]
        sizes = tuple(next((tuple(r.shape[-2:]) for r in _references(e)), None) for e in everybody)
        key = (*map(id, (*contexts, *masks)), sizes)
        if key not in self.cache:
            replaced = any(
                "set_area_to_bounds" in entry or "mask" not in entry for entry in everybody
            )
            cut = None if replaced else self._cut(masks, x_in)
            self.cache[key] = (
                Texts(contexts, cut, sizes),
                masks,
            )  # which keeps the ids from being reused
        return self.cache[key][0]

    def _cut(self, masks: Sequence, x_in: torch.Tensor) -> torch.Tensor | None:
        """The regions that people's entries tell, where they are not the whole canvas's: a tiled
        sampler of others cuts the masks of all entries."""
        for mask in masks:
            if mask.shape[-2:] != x_in.shape[-2:]:
                raise PartOfCanvasError(x_in.shape[-2:], mask.shape[-2:])
        told = torch.stack([mask.float().cpu().flatten(0, -3)[0] for mask in masks])
        whole = torch.cat([self._resized(region, x_in) for region in self.regions])
        if torch.equal(told, whole):
            return None
        if self.follower:
            self.follower.leave("another node paints the picture in tiles")
        return told

    def _refuse(self, entry: dict) -> None:
        for name, what in self.refused:
            if name in entry["model_conds"]:
                way_out = ", or give each person their own by the input references"
                way_out = way_out if name == REFERENCES and self.takes_references else ""
                raise ValueError(
                    f"BreakRegionalPrompt: the conditioning holds {what}, which method = fused "
                    f"cannot share among people on this model. Choose method = exact{way_out}."
                )

    def _in_its_place(self, entry: dict, row: Row, mine: BatchRow, x_in: torch.Tensor) -> dict:
        """The entry, whose mask is also the person's where ConditioningSetMask replaced it, and
        which shares a batch only with rows that it can share one with (see PART)."""
        if row.region is not None and "set_area_to_bounds" in entry:
            region = self._resized(row.region, x_in).to(entry["mask"])
            entry = {**entry, "mask": entry["mask"] * region}
        lengths = ()
        if self.one_sequence and mine.texts:
            lengths = (*mine.texts.lengths, *mine.texts.references)
        if mine.part is not None or lengths:
            conds = {**entry["model_conds"], PART: CONDConstant((mine.part, lengths))}
            entry = {**entry, "model_conds": conds}
        return entry

    def _resized(self, region: torch.Tensor, x_in: torch.Tensor) -> torch.Tensor:
        """As core resizes a mask: `[H,W]` -> `[1,h,w]`."""
        height, width = x_in.shape[-2:]
        key = (region.data_ptr(), height, width)
        if key not in self.cache:
            planes = region[None, None].float()
            if region.shape != (height, width):
                planes = comfy.utils.common_upscale(planes, width, height, "bilinear", "none")
            self.cache[key] = planes[0]
        return self.cache[key]


def _references(entry: dict) -> list[torch.Tensor]:
    """The reference latents of an entry, as the model's own `extra_conds` made them."""
    held = entry["model_conds"].get(REFERENCES)
    return [] if held is None else held.cond[:1]  # a person has one


def _with_references(entry: dict, everybody: Sequence[dict]) -> dict:
    """The base's entry with everybody's pictures, so that core counts their memory and batches rows
    by their sizes."""
    having = [each for each in everybody if _references(each)]
    if not having:
        return entry
    pictures = [picture for each in having for picture in _references(each)]
    conds = {**entry["model_conds"], REFERENCES: CONDList(pictures)}
    if METHOD in having[0]["model_conds"]:
        conds[METHOD] = having[0]["model_conds"][METHOD]
    return {**entry, "model_conds": conds}
