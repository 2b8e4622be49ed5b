"""PEOPLE -> the model and the conditioning that a stock sampler takes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import node_helpers
import torch
from comfy.model_patcher import ModelPatcher

from ..regions.weights import adapter_gates, region_weights
from .exact import Exact
from .families import family_of
from .families.family import CrossAttentionFamily, Family
from .families.joint_attention import JointAttentionFamily
from .families.references import LATENTS, LATENTS_METHOD, TIMESTEP_ZERO, method_of
from .families.transformer import TransformerFamily
from .fused import Fused
from .joint.crossed import CrossedFused
from .joint.run import JointFused, UnwrappedFused
from .patch import RegionalForward, RegionalPatch
from .people import Method, People, Person, Text, Together
from .row_names import RowNames
from .rows import NEGATIVE, POSITIVE, Row, marked
from .stack import AdapterStack, as_patcher, compute_dtype, stack_adapters

log = logging.getLogger(__name__)


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
    ValueError where one person cannot have what a LoRA changes."""
    if not people.people:
        return Regional(people.model, people.base.conditioning, people.negative.conditioning)
    ready = ready or prepare(people)
    family = family_of(people.model)
    if ready.method is Method.FUSED and isinstance(family, CrossAttentionFamily):
        return _fused(people, ready, family)
    if ready.method is Method.FUSED and isinstance(family, TransformerFamily):
        return _by_token(people, ready, family)
    return _exact(people, ready, family)


def prepare(people: People) -> Ready:
    """Everybody's adapters, and the method that this model allows."""
    method, notes = people.method, ()
    family = family_of(people.model)
    reason = family.why_not_fused(people.model.model)
    if method is Method.FUSED and reason:
        method, notes = Method.EXACT, (f"{reason}, so method = exact is used.",)
        log.info("BreakRegionalPrompt: %s", *notes)
    adapters = adapters_of(people)
    if method is Method.FUSED and isinstance(family, TransformerFamily):
        _check_layers(people, family, adapters)
    if isinstance(family, TransformerFamily):
        _check_modulation(people, family, adapters)
    if adapters.whole_bytes:
        size = adapters.whole_bytes / 1e9
        notes = (*notes, f"Some of people's LoRAs have no small form; held whole: {size:.2g} GB.")
    if people.isolation.strength and method is Method.EXACT:
        notes = (*notes, "isolate changes nothing with method = exact, where people share nothing.")
    if people.follower and method is Method.EXACT:
        notes = (*notes, "follow changes nothing with method = exact.")
    return Ready(method, adapters, as_patcher(adapters), notes)


def _check_layers(people: People, family: TransformerFamily, adapters: AdapterStack) -> None:
    """A norm's tokens are not where a family's entry says that a layer's are."""
    for name in adapters.names:
        if not family.rules_of(name):
            layer = people.model.model.diffusion_model.get_submodule(name)
            raise ValueError(
                f"{name}: a person's LoRA changes a {type(layer).__name__} layer, which method = "
                f"fused cannot give to one person here. Choose method = exact."
            )


def _check_modulation(people: People, family: TransformerFamily, adapters: AdapterStack) -> None:
    """Where references have a modulation of their own, tokens cannot have each their person's too."""
    shown = [
        entry for person in people.people for entry in person.positive.conditioning
        if LATENTS in entry[1]
    ]  # fmt: skip
    if not shown or method_of(people.model.model.diffusion_model, shown) != TIMESTEP_ZERO:
        return
    vectors = [n for n in adapters.names if any(rule.reach for rule in family.rules_of(n))]
    if vectors:
        raise ValueError(
            f"{vectors[0]}: a person's LoRA changes the modulation, and this model modulates reference "
            f"pictures apart (index_timestep_zero). Load the file for everybody with "
            f"MultiLoraLoader, or take the reference pictures out."
        )


def adapters_of(people: People) -> AdapterStack:
    """Everybody's LoRAs, stacked: see `stack_adapters`. Those of several people together act on each
    of them, beside their own, and on the text that they share."""
    patches = [dict(person.patches) for person in people.painted]
    for each in people.together:
        for member in each.members:
            for key, changes in each.painted.patches.items():
                patches[member][key] = (*patches[member].get(key, ()), *changes)
    adapters = stack_adapters(people.model, patches, compute_dtype(people.model))
    unreached = family_of(people.model).unreached
    lost = [n for n in adapters.names if re.match(unreached, n)]
    if lost:
        raise ValueError(
            f"{lost[0]}: a person's LoRA changes a layer that works before sampling starts, where "
            f"people have no places ({len(lost)} such layers). Load the file for everybody with "
            f"MultiLoraLoader, or take it out of the prompt."
        )
    return adapters


def _fused(people: People, ready: Ready, family: CrossAttentionFamily) -> Regional:
    forward = Fused(
        family, people.painted_masks, people.base_strength, ready.adapters, people.images,
        together=[each.members for each in people.together],
    )  # fmt: skip
    return _together(people, ready, forward, RowNames(people.span))


def _by_token(people: People, ready: Ready, family: TransformerFamily) -> Regional:
    shared = (family, people.painted_masks, people.base_strength, ready.adapters)
    together = [each.members for each in people.together]
    if isinstance(family, JointAttentionFamily):
        kind = JointFused if family.calls_wrappers else UnwrappedFused
        forward = kind(*shared, together=together, text_sees=people.text_sees)  # type: ignore[arg-type]
    else:
        forward = CrossedFused(*shared, together=together)  # type: ignore[arg-type]
    names = RowNames(
        people.span, one_sequence=True, refused=family.refused,
        takes_references=family.references is not None,
    )  # fmt: skip
    return _together(people, ready, forward, names)


def _together(people: People, ready: Ready, forward: RegionalForward, names: RowNames) -> Regional:
    """One row for everybody. People's texts follow the scene's as entries of their own, which the
    model's own `extra_conds` makes ready and which never become rows."""
    names.regions, names.has_loras = tuple(people.painted_masks), ready.adapters.changes_anything
    names.isolation, names.people = people.isolation, len(people.people)
    names.follower = people.follower
    patch = RegionalPatch(forward, names)
    inside = None if people.span.whole else True
    sides = []
    for kind, base in ((POSITIVE, people.base), (NEGATIVE, people.negative)):
        texts = [_side(person, kind).conditioning for person in people.painted]
        scene = [_with_pooled(entry, texts, people) for entry in base.conditioning]
        side = marked(scene, Row(patch.identity, None, inside))
        for index, (text, region) in enumerate(zip(texts, people.painted_masks, strict=True)):
            row = Row(patch.identity, index, inside, text=True)
            # A model without our patch at least paints the text where the person stands.
            side += marked(text, row, mask=region[None], mask_strength=1.0)
        if inside:  # before and after the span the pooled vector is the base's alone, too
            side += marked(base.conditioning, Row(patch.identity, None, inside=False))
        sides.append(side)
    return Regional(patch.attach(people.model, ready.patcher), sides[0], sides[1], ready.notes)


def _with_pooled(entry: list, texts: Sequence[list], people: People) -> list:
    """The pooled vector of SDXL and Flux.1 has no place: everybody's, in the share that they have of the
    picture."""
    context, values = entry
    pooled = values.get("pooled_output")
    if pooled is None:
        return entry
    shares = region_weights(people.painted_masks, people.base_strength).mean((1, 2))
    start = values.get("clip_start_percent", 0.0)
    everyone = [pooled, *(_scheduled(text, start)["pooled_output"] for text in texts)]
    mixed = torch.einsum("p,pbc->bc", shares, torch.stack([v.float() for v in everyone]))
    return [context, {**values, "pooled_output": mixed.to(pooled.dtype)}]


def _scheduled(conditioning: list, start: float) -> dict:
    """The values of the entry that acts from `start`, of a schedule of texts."""
    begun = [v for _, v in conditioning if v.get("clip_start_percent", 0.0) <= start]
    return (begun or [conditioning[0][1]])[-1]


def _exact(people: People, ready: Ready, family: Family) -> Regional:
    names = RowNames(
        people.span, has_loras=ready.adapters.changes_anything, repeats_texts=family.repeats_texts
    )
    if people.follower:
        names.follower = replace(people.follower, fixed="method = exact follows nobody")
    forward = Exact(ready.adapters, family=family, images=people.images)
    patch = RegionalPatch(forward, names)
    positive, negative = (_rows(people, patch.identity, side) for side in (POSITIVE, NEGATIVE))
    return Regional(patch.attach(people.model, ready.patcher), positive, negative, ready.notes)


def _rows(people: People, identity: str, kind: str) -> list:
    """The base's entry and every person's, with masks that core weighs and sums by. What several do
    together is painted with each one's LoRAs and picture where that one stands."""
    weights = region_weights(people.painted_masks, people.base_strength)
    base = people.base if kind == POSITIVE else people.negative
    inside = None if people.span.whole else True
    rows = [(base, None, weights[0])]
    rows += [(_side(person, kind), i, weights[i + 1]) for i, person in enumerate(people.people)]
    for number, each in enumerate(people.together, len(people.people)):
        rows += _rows_together(people, each, number, weights[number + 1], kind)
    entries = []
    for text, who, weight in rows:
        if not weight.any():
            continue  # a row that counts nowhere would only cost time
        row = Row(identity, who, inside, region=weight)
        entries += marked(text.conditioning, row, mask=weight[None], mask_strength=1.0)
    if inside:  # before and after the span the base is alone and paints everywhere
        entries += marked(base.conditioning, Row(identity, None, inside=False))
    return entries


def _rows_together(
    people: People, each: Together, number: int, weight: torch.Tensor, kind: str
) -> Iterator[tuple[Text, int, torch.Tensor]]:
    """Its text, whose adapters and picture go with it, and how much it counts `[H,W]`: once per member,
    whose adapters have its own beside theirs, and once for what is nobody's of it."""
    text, rest = _side(each.painted, kind), weight
    gates = adapter_gates(people.masks)
    for member in each.members:
        person, share = people.people[member], weight * gates[member]
        if not (person.patches or person.image or _reference(person, kind)):
            continue  # painted as the rest is, so that it needs no row
        yield _beside(text, _reference(person, kind)), member, share
        rest = rest - share
    yield text, number, rest.clamp(min=0.0)


def _reference(person: Person, kind: str) -> dict:
    """The picture beside a person's text, by core's keys."""
    values = _side(person, kind).conditioning[0][1]
    return {key: values[key] for key in (LATENTS, LATENTS_METHOD) if key in values}


def _beside(text: Text, reference: dict) -> Text:
    return Text(text.text, node_helpers.conditioning_set_values(text.conditioning, reference))


def _side(person: Person, kind: str):
    return person.positive if kind == POSITIVE else person.negative
