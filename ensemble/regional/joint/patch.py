"""The regional patch where people's texts travel as conditioning entries of their own.

Core runs every entry through the model's `extra_conds`, which pads and adapts a text as that model
wants it. So people's texts are entries too, taken off the list before core makes batches of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from comfy.conds import CONDConstant

from ..patch import KEY, RegionalPatch, Row
from .run import JointFused

MARK = f"{KEY}_texts"
"""In `model_conds`: the lengths of people's texts. Core batches rows only where they are equal, and
never with rows that have none."""


@dataclass
class JointPatch(RegionalPatch):
    forward: JointFused

    def _name_rows(self, executor, model, conds, x_in, timestep, model_options):
        taken = [None if side is None else self._take_texts(side) for side in conds]
        marked = [None if side is None else [self._marked(e) for e in side] for side in taken]
        return super()._name_rows(executor, model, marked, x_in, timestep, model_options)

    def _take_texts(self, entries: list[dict]) -> list[dict]:
        others = []
        for entry in entries:
            row = self._row(entry)
            if row is None or row.person is None:
                others.append(entry)
                continue
            text = entry["model_conds"]["c_crossattn"].cond
            self.forward.texts.setdefault(row.kind, {})[row.person] = text
        return others

    def _marked(self, entry: dict) -> dict:
        row = self._row(entry)
        if row is None or row.inside is False:
            return entry
        for name, what in self.forward.family.refused:
            if name in entry["model_conds"]:
                raise ValueError(
                    f"BreakRegionalPrompt: the conditioning holds {what}, which method = fused "
                    f"cannot share among people on this model. Choose method = exact."
                )
        missing = len(self.forward.masks) - len(self.forward.texts.get(row.kind, ()))
        if missing:
            raise ValueError(
                f"BreakRegionalPrompt: a node between it and the sampler dropped the texts of "
                f"{missing} people from the {row.kind} conditioning. Apply that node before "
                f"BreakRegionalPrompt, or choose method = exact."
            )
        if entry.get("area") is not None:
            raise ValueError(
                "BreakRegionalPrompt: the conditioning holds an area (Conditioning Set Area), in "
                "which method = fused cannot place people. Use Conditioning Set Mask, or choose "
                "method = exact."
            )
        mark = CONDConstant(self.forward.lengths(row.kind))
        return {**entry, "model_conds": {**entry["model_conds"], MARK: mark}}

    def _row(self, entry: dict) -> Row | None:
        """What an entry of this patch is; None for others' entries."""
        row = entry.get(KEY)
        return row if isinstance(row, Row) and row.patch == self.identity else None

    def _forward(self, executor, *args, **kwargs):
        kwargs.pop(MARK, None)
        return super()._forward(executor, *args, **kwargs)
