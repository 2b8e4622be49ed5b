"""The regional patch on a clone of the model: which rows are whose, and what runs around the
forward."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from comfy.model_base import BaseModel
from comfy.model_management import unload_model_and_clones
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP

from .changes import scaled_since
from .parts import check_shape
from .row_names import RowNames
from .rows import KEY, PART, BatchRow

COMPILED = "torch.compile"
"""Core's key of the wrapper by which TorchCompileModel runs a compiled model."""
UNCOMPILED = (
    "torch.compile (TorchCompileModel) would freeze who is who, so that the model runs "
    "uncompiled while people are painted."
)


class RegionalForward(Protocol):
    """What differs between fused and exact: one forward pass with this batch's rows.

    around: the wrappers that it runs in. WrappersMP.DIFFUSION_MODEL where the arguments of the
    model class matter, which not every class calls; WrappersMP.APPLY_MODEL, which core calls for
    all of them.
    """

    around: ClassVar[str]

    def run(self, unet, rows: Sequence[BatchRow | None], call, args, options): ...
    def clear(self) -> None: ...


@dataclass
class RegionalPatch:
    """Wrappers and callbacks of one regional run, whose entries `names` knows."""

    forward: RegionalForward
    names: RowNames
    known: dict[str, int] = field(default_factory=dict)
    """How many patches each weight had when ours was attached."""
    compiled: bool = False
    """Whether parts of the model that runs are compiled, as other packs compile its blocks."""

    @property
    def identity(self) -> str:
        return self.names.identity

    def attach(self, model: ModelPatcher, adapters: ModelPatcher) -> ModelPatcher:
        """A clone of `model` that carries this patch, with its adapters, and no other regional one."""
        model = without_regional(model)
        self.known = {key: len(patches) for key, patches in model.patches.items()}
        model.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, KEY, self._name_rows)
        model.add_wrapper_with_key(self.forward.around, KEY, self._forward)
        if self.names.follower:
            model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self._keep_regions)
        model.add_callback_with_key(CallbacksMP.ON_PRE_RUN, KEY, self._follow)
        model.add_callback_with_key(CallbacksMP.ON_CLEANUP, KEY, self._clean_up)
        model.set_additional_models(KEY, [adapters])
        return model

    def _follow(self, model: ModelPatcher) -> None:
        """Before the run: what other nodes did to the model and its weights after us."""
        if self.names.follower:
            self.names.follower.begin()
        self.compiled = _has_compiled_parts(model.model)
        if self.compiled:
            self.names.once(UNCOMPILED)
        for adapters in model.get_additional_models_with_key(KEY):
            adapters.model.follow(model)
            if scaled_since(model, adapters.model.names, self.known):
                self.names.once(
                    "a node after BreakRegionalPrompt scales weights (CrossAttentionMultiply, a "
                    "merge of models). It does not scale what people's LoRAs add to them; put it "
                    "before BreakRegionalPrompt."
                )

    def _clean_up(self, model: ModelPatcher) -> None:
        """After the run, however it ended: nothing of ours stays on the device."""
        self.forward.clear()
        self.names.cache = {}
        for adapters in model.get_additional_models_with_key(KEY):
            unload_model_and_clones(adapters, unload_additional_models=False)

    def _name_rows(self, executor, model, conds, x_in, timestep, model_options):
        sides, rows = self.names.read(model, conds, x_in, timestep)
        options = {**model_options.get("transformer_options", {}), KEY: (rows, x_in.shape[0])}
        if rows and COMPILED in options.get("wrappers", {}).get(WrappersMP.APPLY_MODEL, {}):
            self.names.once(UNCOMPILED)
            kept = dict(options["wrappers"][WrappersMP.APPLY_MODEL])
            del kept[COMPILED]
            options["wrappers"] = {**options["wrappers"], WrappersMP.APPLY_MODEL: kept}
        predicted = executor(
            model, sides, x_in, timestep, {**model_options, "transformer_options": options}
        )
        follower = self.names.follower
        if follower and any(side == 0 for side, _ in rows):
            follower.see(model, predicted[0], float(timestep[0]))
            if follower.why_not:
                self.names.once(f"{follower.why_not}; the regions stay as given.")
        return predicted

    def _keep_regions(self, executor, *args, **kwargs):
        """Under what a run painted, for nodes behind the sampler."""
        painted = executor(*args, **kwargs)
        if self.names.follower:
            self.names.follower.finish(painted)
        return painted

    def _forward(self, executor, *args, **kwargs):
        kwargs.pop(PART, None)
        where, options = _find_options(args, kwargs)
        named, batch = options.get(KEY) or ({}, 1)
        sides, uuids = options.get("cond_or_uncond", ()), options.get("uuids", ())
        rows = [named.get(pair) for pair in zip(sides, uuids, strict=True)]
        if not any(rows):
            return executor(*args, **kwargs)
        row = next(row for row in rows if row)
        check_shape(args[0], batch * len(rows), row.part[:2] if row.part else row.canvas)
        options = dict(options)  # what we add must not outlive this call

        def call(args=args):
            if isinstance(where, int):
                return executor(*args[:where], options, *args[where + 1 :], **kwargs)
            return executor(*args, **{**kwargs, where: options})

        per_row = [row for row in rows for _ in range(batch)]
        unet = executor.class_obj
        if isinstance(unet, BaseModel):
            unet = unet.diffusion_model
        with uncompiled() if self.compiled else nullcontext():
            return self.forward.run(unet, per_row, call, args, options)


def _has_compiled_parts(model: BaseModel) -> bool:
    if "torch._dynamo" not in sys.modules:  # loading it takes seconds
        return False
    from torch._dynamo import OptimizedModule

    return any(isinstance(module, OptimizedModule) for module in model.modules())


def uncompiled():
    """Compiled modules run as they were written, for the time of the block: what stands in for their
    layers' forwards is made anew for every call."""
    return torch.compiler.set_stance("force_eager")


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
    model.remove_wrappers_with_key(WrappersMP.OUTER_SAMPLE, KEY)
    model.remove_callbacks_with_key(CallbacksMP.ON_PRE_RUN, KEY)
    model.remove_callbacks_with_key(CallbacksMP.ON_CLEANUP, KEY)
    model.remove_additional_models(KEY)
    return model
