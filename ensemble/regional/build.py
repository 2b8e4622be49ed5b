"""PEOPLE -> the model and the conditioning that a stock sampler takes."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import NamedTuple

import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher

from ..regions.weights import region_weights
from .exact import Exact
from .factors import NotLowRankError, dense_weight
from .fused import Fused, supports
from .joint.families import family_of
from .joint.family import JointFamily
from .joint.patch import JointPatch
from .joint.run import JointFused
from .patch import NEGATIVE, POSITIVE, RegionalPatch, Row, compute_dtype, marked
from .people import Method, People, Person
from .stack import (
    PREFIX,
    AdapterStack,
    PersonPatches,
    Target,
    as_patcher,
    build_stack,
    plain_weight,
)
from .variants import CHANGEABLE, WeightVariants

EXACT = 1e-5
"""A product that misses less of a change than this is that change, in float32."""
log = logging.getLogger(__name__)
CHUNK_LIMIT = 16
"""Longest padding, in multiples of the shortest text, that sharing one batch is worth."""


class Regional(NamedTuple):
    """What a stock sampler takes, and lines for the person at the screen."""

    model: ModelPatcher
    positive: list
    negative: list
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """What is the same wherever people stand: for the tiles of a picture it is made once. One
    patcher for all, since core counts a module that two patchers hold as leaked."""

    method: Method
    adapters: AdapterStack
    patcher: ModelPatcher
    notes: tuple[str, ...] = ()


def build(people: People, ready: Ready | None = None) -> Regional:
    """The regional run; without people, the plain one. `ready` is `prepare` of these people. Raises
    NotLowRankError where fused cannot hold a LoRA."""
    if not people.people:
        return Regional(people.model, people.base.conditioning, people.negative.conditioning)
    ready = ready or prepare(people)
    if ready.method is Method.EXACT:
        return _exact(people, ready)
    family = family_of(people.model.model)
    return _joint(people, ready, family) if family else _fused(people, ready)


def prepare(people: People) -> Ready:
    """Everybody's adapters, and the method that this model allows."""
    notes = ()
    if people.method is Method.FUSED:
        unet = people.model.model.diffusion_model
        family = family_of(people.model.model)
        unknown = family.known(unet) if family else None
        if supports(unet) or (family and not unknown):
            return _fused_adapters(people)
        kind = type(people.model.model).__name__
        reason = f"method = fused does not know {kind}"
        if unknown:
            reason = f"this ComfyUI is newer than Ensemble knows here ({unknown})"
        notes = (f"{reason}, so method = exact is used.",)
        log.info("BreakRegionalPrompt: %s", *notes)
    adapters = exact_adapters(people)
    return Ready(Method.EXACT, adapters, as_patcher(adapters), notes)


def _fused_adapters(people: People) -> Ready:
    dtype = compute_dtype(people.model)
    adapters, error = build_stack(people.model, [p.patches for p in people.people], dtype)
    notes = (f"LoRA changes held as low-rank products, mean error {error:.2%}.",) if error else ()
    return Ready(Method.FUSED, adapters, as_patcher(adapters), notes)


def _fused(people: People, ready: Ready) -> Regional:
    contexts = {
        POSITIVE: [p.positive.conditioning[0][0] for p in people.people],
        NEGATIVE: [p.negative.conditioning[0][0] for p in people.people],
    }
    patch = RegionalPatch(
        Fused(people.masks, people.base_strength, contexts, ready.adapters), people.span
    )
    sides = []
    for kind, base in ((POSITIVE, people.base), (NEGATIVE, people.negative)):
        text, inside = base.conditioning[:1], None if people.span.whole else True
        everyone = marked(text, Row(patch.identity, None, kind, inside))
        side = [_with_pooled(everyone[0], people, kind)]
        if inside:  # before and after the span the pooled vector is the base's alone, too
            side += marked(text, Row(patch.identity, None, kind, inside=False))
        sides.append(side)
    return Regional(patch.attach(people.model, ready.patcher), sides[0], sides[1], ready.notes)


def _joint(people: People, ready: Ready, family: JointFamily) -> Regional:
    """People's texts follow the base's entry as entries of their own, for the model's own
    `extra_conds`; they never become rows."""
    patch = JointPatch(
        JointFused(family, people.masks, people.base_strength, ready.adapters, people.text_sees),
        people.span,
    )
    sides = []
    for kind, base in ((POSITIVE, people.base), (NEGATIVE, people.negative)):
        inside = None if people.span.whole else True
        everyone = marked(base.conditioning[:1], Row(patch.identity, None, kind, inside))
        side = [_with_pooled(everyone[0], people, kind)]
        if inside:
            side += marked(base.conditioning[:1], Row(patch.identity, None, kind, inside=False))
        for index, person in enumerate(people.people):
            side += marked(_side(person, kind).conditioning[:1], Row(patch.identity, index, kind))
        sides.append(side)
    return Regional(patch.attach(people.model, ready.patcher), sides[0], sides[1], ready.notes)


def _with_pooled(entry: list, people: People, kind: str) -> list:
    """SDXL's pooled vector has no place: everybody's, in the share that they have of the
    picture."""
    context, values = entry
    pooled = values.get("pooled_output")
    if pooled is None:
        return entry
    shares = region_weights(people.masks, people.base_strength).mean((1, 2))
    texts = [p.positive if kind == POSITIVE else p.negative for p in people.people]
    everyone = [pooled, *(t.conditioning[0][1]["pooled_output"] for t in texts)]
    mixed = torch.einsum("p,pbc->bc", shares, torch.stack([v.float() for v in everyone]))
    return [context, {**values, "pooled_output": mixed.to(pooled.dtype)}]


def _exact(people: People, ready: Ready) -> Regional:
    patch = RegionalPatch(Exact(ready.adapters), people.span)
    positive, negative = (
        _rows(people, patch.identity, POSITIVE),
        _rows(people, patch.identity, NEGATIVE),
    )
    if supports(people.model.model.diffusion_model):
        _share_length([*positive, *negative])
    return Regional(patch.attach(people.model, ready.patcher), positive, negative, ready.notes)


def exact_adapters(people: People) -> AdapterStack:
    """Everybody's LoRAs: as products of low rank, and as whole weights where they are none."""
    dtype = compute_dtype(people.model)
    parts = [split_products(people.model, person, dtype) for person in people.people]
    adapters, _ = build_stack(people.model, [low for low, _ in parts], dtype, EXACT)
    layers: dict[str, dict] = {}
    for who, (_, dense) in enumerate(parts):
        for name, tensors in dense.items():
            layers.setdefault(name, {})[who] = tensors
    adapters.variants = WeightVariants(layers)
    return adapters


def _rows(people: People, identity: str, kind: str) -> list:
    """The base's entry and every person's, with masks that core weighs and sums by."""
    weights = region_weights(people.masks, people.base_strength)
    base = people.base if kind == POSITIVE else people.negative
    inside = None if people.span.whole else True
    entries = []
    for index, weight in enumerate(weights):
        text = base if index == 0 else _side(people.people[index - 1], kind)
        if not weight.any():
            continue  # a row that counts nowhere would only cost time
        row = Row(identity, index - 1 if index else None, kind, inside)
        entries += marked(text.conditioning, row, mask=weight[None], mask_strength=1.0)
    if inside:  # before and after the span the base is alone and paints everywhere
        entries += marked(base.conditioning, Row(identity, None, kind, inside=False))
    return entries


def _side(person: Person, kind: str):
    return person.positive if kind == POSITIVE else person.negative


def _share_length(entries: list) -> None:
    """Repeat every text to a common length, in place. Cross-attention does not see the repetition,
    and core batches only texts whose common length is at most four times the shorter. Where texts
    share one attention with the picture the repetition would count twice; core then calls the model
    once per length."""
    lengths = {entry[0].shape[1] for entry in entries}
    common = math.lcm(*lengths)
    if len(lengths) > 1 and common <= CHUNK_LIMIT * min(lengths):
        for entry in entries:
            entry[0] = entry[0].repeat(1, common // entry[0].shape[1], 1)


def split_products(model: ModelPatcher, person: Person, dtype: torch.dtype):
    """One person's patches as (those with a product form, whole weights of the other layers)."""
    low, dense = {}, {}
    for name, keys in _by_layer(person.patches).items():
        part = PersonPatches({key: person.patches.patches[key] for key in keys})
        try:
            build_stack(model, [part], dtype, EXACT)
            low.update(part.patches)
        except NotLowRankError:
            _check_changeable(model, name, part)
            dense[name] = _merged(model, name, part, dtype)
    return PersonPatches(low), dense


def _check_changeable(model: ModelPatcher, name: str, part: PersonPatches) -> None:
    layer = comfy.utils.get_attr(model.model, (PREFIX + name).rstrip("."))
    if not isinstance(layer, CHANGEABLE):
        keys = ", ".join(sorted({f"{t.layer}.{t.kind}" for t in map(Target.of, part.patches)}))
        raise ValueError(
            f"BreakRegionalPrompt: a person's LoRA changes {keys.lstrip('.')}, of a "
            f"{type(layer).__name__}, which one person cannot have for themselves. Load that file "
            f"for everybody with MultiLoraLoader, or take it out of the prompt."
        )


def _by_layer(patches: PersonPatches) -> dict[str, list]:
    layers: dict[str, list] = {}
    for key in patches.patches:
        layers.setdefault(Target.of(key).layer, []).append(key)
    return layers


def _merged(model: ModelPatcher, name: str, part: PersonPatches, dtype: torch.dtype):
    tensors = []
    for kind in ("weight", "bias"):
        key = f"{PREFIX}{name}.{kind}"
        try:
            tensor = plain_weight(model, key)
        except AttributeError:
            tensor = None
        for patch_key, entries in part.patches.items():
            target = Target.of(patch_key)
            for patch, strength in entries if target.kind == kind and tensor is not None else ():
                tensor = dense_weight(patch, tensor, key, strength, target.offset, target.arrange)
        tensors.append(None if tensor is None else tensor.to(dtype))
    return tuple(tensors)
