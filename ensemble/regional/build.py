"""PEOPLE -> the model and the conditioning that a stock sampler takes."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from comfy.model_patcher import ModelPatcher

from ..regions.weights import region_weights
from .exact import Exact
from .families import family_of
from .families.family import CrossAttentionFamily, Family
from .families.joint_attention import JointAttentionFamily
from .fused import Fused
from .joint.patch import JointPatch
from .joint.run import JointFused
from .patch import NEGATIVE, POSITIVE, RegionalPatch, Row, compute_dtype, marked
from .people import Method, People, Person
from .stack import AdapterStack, as_patcher, stack_adapters

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
    family = family_of(people.model)
    if ready.method is Method.FUSED and isinstance(family, CrossAttentionFamily):
        return _fused(people, ready, family)
    if ready.method is Method.FUSED and isinstance(family, JointAttentionFamily):
        return _joint(people, ready, family)
    return _exact(people, ready, family)


def prepare(people: People) -> Ready:
    """Everybody's adapters, and the method that this model allows."""
    method, notes = people.method, ()
    family = family_of(people.model)
    reason = family.why_not_fused(people.model.model)
    if method is Method.FUSED and reason:
        method, notes = Method.EXACT, (f"{reason}, so method = exact is used.",)
        log.info("BreakRegionalPrompt: %s", *notes)
    adapters = adapters_of(people, exact=method is Method.EXACT)
    if adapters.error and method is Method.FUSED:
        notes = (f"LoRA changes held as low-rank products, mean error {adapters.error:.2%}.",)
    return Ready(method, adapters, as_patcher(adapters), notes)


def adapters_of(people: People, *, exact: bool) -> AdapterStack:
    """Everybody's LoRAs, stacked: see `stack_adapters`."""
    patches = [person.patches for person in people.people]
    adapters = stack_adapters(people.model, patches, compute_dtype(people.model), exact=exact)
    unreached = family_of(people.model).unreached
    lost = [n for n in (*adapters.names, *adapters.dense.layers) if re.match(unreached, n)]
    if lost:
        raise ValueError(
            f"{lost[0]}: a person's LoRA changes a layer that works before sampling starts, where "
            f"people have no places ({len(lost)} such layers). Load the file for everybody with "
            f"MultiLoraLoader, or take it out of the prompt."
        )
    return adapters


def _fused(people: People, ready: Ready, family: CrossAttentionFamily) -> Regional:
    contexts = {
        POSITIVE: [p.positive.conditioning[0][0] for p in people.people],
        NEGATIVE: [p.negative.conditioning[0][0] for p in people.people],
    }
    patch = RegionalPatch(
        Fused(family, people.masks, people.base_strength, contexts, ready.adapters), people.span
    )
    positive, negative = (_everyone(people, patch.identity, kind) for kind in (POSITIVE, NEGATIVE))
    return Regional(patch.attach(people.model, ready.patcher), positive, negative, ready.notes)


def _joint(people: People, ready: Ready, family: JointAttentionFamily) -> Regional:
    """People's texts follow the base's entry as entries of their own, for the model's own
    `extra_conds`; they never become rows."""
    patch = JointPatch(
        JointFused(family, people.masks, people.base_strength, ready.adapters, people.text_sees),
        people.span,
    )
    sides = []
    for kind in (POSITIVE, NEGATIVE):
        side = _everyone(people, patch.identity, kind)
        for index, person in enumerate(people.people):
            text = _side(person, kind).conditioning[:1]
            side += marked(text, Row(patch.identity, index, kind))
        sides.append(side)
    return Regional(patch.attach(people.model, ready.patcher), sides[0], sides[1], ready.notes)


def _everyone(people: People, identity: str, kind: str) -> list:
    """The one row in which everybody is, and outside of the span the base's."""
    base = people.base if kind == POSITIVE else people.negative
    text, inside = base.conditioning[:1], None if people.span.whole else True
    everyone = marked(text, Row(identity, None, kind, inside))
    side = [_with_pooled(everyone[0], people, kind)]
    if inside:  # before and after the span the pooled vector is the base's alone, too
        side += marked(text, Row(identity, None, kind, inside=False))
    return side


def _with_pooled(entry: list, people: People, kind: str) -> list:
    """The pooled vector of SDXL and Flux.1 has no place: everybody's, in the share that they have of the
    picture."""
    context, values = entry
    pooled = values.get("pooled_output")
    if pooled is None:
        return entry
    shares = region_weights(people.masks, people.base_strength).mean((1, 2))
    texts = [_side(person, kind) for person in people.people]
    everyone = [pooled, *(t.conditioning[0][1]["pooled_output"] for t in texts)]
    mixed = torch.einsum("p,pbc->bc", shares, torch.stack([v.float() for v in everyone]))
    return [context, {**values, "pooled_output": mixed.to(pooled.dtype)}]


def _exact(people: People, ready: Ready, family: Family) -> Regional:
    patch = RegionalPatch(Exact(ready.adapters), people.span)
    positive, negative = (
        _rows(people, patch.identity, POSITIVE),
        _rows(people, patch.identity, NEGATIVE),
    )
    if family.repeats_texts:
        _share_length([*positive, *negative])
    return Regional(patch.attach(people.model, ready.patcher), positive, negative, ready.notes)


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


def common_length(lengths: Sequence[int]) -> int | None:
    """Tokens to which texts are repeated so that they share a batch; None where that would cost
    more than a run of their own. Core by itself batches texts whose common length is at most four
    times the shorter."""
    common = math.lcm(*lengths)
    return common if common <= CHUNK_LIMIT * min(lengths) else None


def _share_length(entries: list) -> None:
    """Repeat every text to a common length, in place. Cross-attention does not see it; where texts
    share one attention with the picture it would count twice, and core calls the model per length."""
    common = common_length([entry[0].shape[1] for entry in entries])
    if common:
        for entry in entries:
            entry[0] = entry[0].repeat(1, common // entry[0].shape[1], 1)
