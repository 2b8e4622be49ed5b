"""The regional patch on a clone of the model: which rows are whose, and what runs around the
forward."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import torch
from comfy.model_base import BaseModel
from comfy.model_management import unload_model_and_clones
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP

KEY = "ensemble"
"""Our key in conditioning entries, wrappers, callbacks and transformer options. Never core's
"hooks": that key makes core load a second copy of the model under dynamic VRAM."""

POSITIVE, NEGATIVE = "positive", "negative"


@dataclass(frozen=True)
class Row:
    """What one conditioning entry of ours is: of which patch, of which person (None: the base or
    everybody), on which side of CFG, and whether it counts only inside or outside the span.

    Core's start_percent and end_percent include both ends, so that a step on the border would get
    the entries of both sides. hooked: another node's hooks may change the weights under this row
    from step to step."""

    patch: str
    person: int | None
    kind: str
    inside: bool | None = None
    hooked: bool = False


@dataclass(frozen=True)
class Span:
    """The part of sampling in which people act, as fractions 0..1 of it (0 is the first step)."""

    start: float = 0.0
    end: float = 1.0

    @property
    def whole(self) -> bool:
        return self.start <= 0.0 and self.end >= 1.0

    def holds(self, model, sigma: float) -> bool:
        """As core decides it for conditioning entries with start_percent and end_percent."""
        sampling = model.model_sampling
        return sampling.percent_to_sigma(self.end) <= sigma <= sampling.percent_to_sigma(self.start)


WHOLE = Span()


class RegionalForward(Protocol):
    """What differs between fused and exact: one forward pass with this batch's rows.

    around: the wrappers that it runs in. WrappersMP.DIFFUSION_MODEL where the arguments of the
    model class matter, which not every class calls; WrappersMP.APPLY_MODEL, which core calls for
    all of them.
    """

    around: ClassVar[str]

    def run(self, unet, rows, call, args, options): ...
    def clear(self) -> None: ...


@dataclass
class RegionalPatch:
    """Wrappers and callbacks of one regional run; `identity` ties conditioning entries to it."""

    forward: RegionalForward
    span: Span
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)

    def attach(self, model: ModelPatcher, adapters: ModelPatcher) -> ModelPatcher:
        """A clone of `model` that carries this patch, with its adapters, and no other regional one."""
        model = without_regional(model)
        model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, self._name_rows)
        model.add_wrapper_with_key(self.forward.around, KEY, self._forward)
        model.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, self._clean_up)
        model.set_additional_models(KEY, [adapters])
        return model

    def _clean_up(self, model: ModelPatcher) -> None:
        """After the run, however it ended: nothing of ours stays on the device."""
        self.forward.clear()
        for adapters in model.get_additional_models_with_key(KEY):
            unload_model_and_clones(adapters, unload_additional_models=False)

    def _name_rows(self, executor, model, conds, x_in, timestep, model_options):
        """Core gives every conditioning entry a uuid per run and names the batch's rows by it."""
        inside = self.span.whole or self.span.holds(model, float(timestep[0]))  # reading syncs
        rows, counting = {}, []
        for entries in conds:
            counting.append([] if entries is not None else None)
            for entry in entries or ():
                row = entry.get(KEY)
                ours = isinstance(row, Row) and row.patch == self.identity
                if ours and row.inside not in (None, inside):
                    continue
                counting[-1].append(entry)
                if ours and inside:
                    rows[entry["uuid"]] = replace(row, hooked=entry.get("hooks") is not None)
        options = {**model_options.get("transformer_options", {}), KEY: rows}
        return executor(
            model, counting, x_in, timestep, {**model_options, "transformer_options": options}
        )

    def _forward(self, executor, *args, **kwargs):
        where, options = _find_options(args, kwargs)
        named = options.get(KEY) or {}
        rows = [named.get(name) for name in options.get("uuids", ())]
        if not any(rows):
            return executor(*args, **kwargs)
        options = dict(options)  # what we add must not outlive this call

        def call(args=args):
            if isinstance(where, int):
                return executor(*args[:where], options, *args[where + 1 :], **kwargs)
            return executor(*args, **{**kwargs, where: options})

        batch = args[0].shape[0] // len(rows)
        per_row = [row for row in rows for _ in range(batch)]
        unet = executor.class_obj
        if isinstance(unet, BaseModel):
            unet = unet.diffusion_model
        return self.forward.run(unet, per_row, call, args, options)


def _find_options(args: tuple, kwargs: dict) -> tuple[int | str, dict]:
    """Model classes take transformer_options at different places; it is the dict that names
    rows."""
    if "transformer_options" in kwargs:
        return "transformer_options", kwargs["transformer_options"]
    for index, value in enumerate(args):
        if isinstance(value, dict) and "cond_or_uncond" in value:
            return index, value
    return "transformer_options", {}


def without_regional(model: ModelPatcher) -> ModelPatcher:
    """A clone without our patch, so that a regional model can be made regional anew."""
    model = model.clone()
    model.remove_wrappers_with_key(WrappersMP.CALC_COND_BATCH, KEY)
    model.remove_wrappers_with_key(WrappersMP.DIFFUSION_MODEL, KEY)
    model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, KEY)
    model.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, KEY)
    model.remove_additional_models(KEY)
    return model


def marked(conditioning: list, row: Row, **entries) -> list:
    """A copy of the conditioning whose entries carry our key and `entries`."""
    return [[context, {**values, KEY: row, **entries}] for context, values in conditioning]


def compute_dtype(model: ModelPatcher) -> torch.dtype:
    """The type activations have inside the model; adapters are kept in it, never in fp8."""
    return model.model.manual_cast_dtype or model.model.get_dtype()
