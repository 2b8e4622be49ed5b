"""The standing matrix: every node of core that patches a model or changes conditioning, beside ours.

One person everywhere, texts of unequal length, a batch of two, so that core's LoraLoader with the
same node is the oracle. A tenth of the cells runs in every gate, all of them in the slow tier.
"""

import dataclasses
import zlib

import dit_neighbours
import neighbours
import pytest
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.rows import KEY
from neighbour_table import TABLE, kind
from neighbours import Verdict

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def state(model):
    return tiny.lora(model, 1)


@pytest.fixture(scope="module")
def oracles():
    """By node and place: both methods have one."""
    return {}


def scene(model, state, method):
    people = tiny.people(
        model, [state], torch.ones(1, 64, 96), base_strength=0.0, method=method,
        tokens=[77, 154], pooled=64,
    )  # fmt: skip
    person = people.people[0]
    negative = dataclasses.replace(
        person.negative, conditioning=tiny.text(21, 231, 64).conditioning
    )
    return dataclasses.replace(people, people=(dataclasses.replace(person, negative=negative),))


@pytest.mark.long
def test_every_node_is_covered():
    """A node that a new ComfyUI brings shows up here, and so does one that it has lost."""
    found = {n for n, node in neighbours.core_nodes().items() if neighbours.kind_of(node)}
    known = {*TABLE, *dit_neighbours.TABLE}
    assert sorted(found - known) == [], "not covered: give them a line in one of the tables"
    assert sorted(known - found) == [], "no longer in ComfyUI"


def cells():
    """A tenth in every gate, chosen by name; Perp-Neg's and the merges' notes are among them."""
    for name, neighbour in TABLE.items():
        for method in Method:
            if neighbour.verdict(method) is Verdict.OTHER:
                continue
            for where in ("before", "after") if kind(name) == "model" else ("after",):
                tenth = zlib.crc32(f"{name} {method.value} {where}".encode()) % 10 == 0
                marks = () if tenth else pytest.mark.slow
                yield pytest.param(name, method, where, marks=[pytest.mark.long, *([marks] if marks else [])],
                                   id=f"{name}-{method.value}-{where}")  # fmt: skip


def told_of(patcher) -> list[str]:
    """Lines that the patch tells from now on."""
    lines: list[str] = []
    patcher.wrappers[WrappersMP.CALC_COND_BATCH][KEY][0].__self__.names.tell = lines.append
    return lines


def plain(name, run, state, where, inputs):
    """The same with core's LoraLoader, before or after the node as ours is."""
    model, *texts = run
    torch.manual_seed(0)
    if where == "before":
        patched = neighbours.patched(name, model, inputs)
        patched.add_patches(tiny.parsed(model, state), 1.0)
        return tiny.sample(patched, *texts, batch=TABLE[name].batch, steps=2)
    return neighbours.sampled(
        kind(name), name, (tiny.merged(model, state), *texts), inputs, TABLE[name].batch
    )


@pytest.mark.parametrize(("name", "method", "where"), cells())
def test_beside_ours(model, state, oracles, name, method, where):
    neighbours.core_nodes()
    neighbour = TABLE[name]
    inputs = neighbour.inputs() if callable(neighbour.inputs) else neighbour.inputs
    people = scene(model, state, method)
    person = people.people[0]
    texts = person.positive.conditioning, person.negative.conditioning
    if where == "before":
        torch.manual_seed(0)
        people = dataclasses.replace(people, model=neighbours.patched(name, model, inputs))
    run = build(people)
    told = told_of(run.model)
    verdict = neighbour.verdict(method, where)

    def ours():
        torch.manual_seed(0)
        if where == "before":
            return tiny.sample(*run[:3], batch=TABLE[name].batch, steps=2)
        return neighbours.sampled(kind(name), name, run[:3], inputs, neighbour.batch)

    if verdict is Verdict.REFUSED:
        with pytest.raises((RuntimeError, ValueError), match="BreakRegionalPrompt"):
            ours()
        return
    if (name, where) not in oracles:
        oracles[name, where] = plain(name, (model, *texts), state, where, inputs)
    error = tiny.relative(ours(), oracles[name, where])
    if verdict is Verdict.EQUAL:
        assert error < TOLERANCE and not told
    elif verdict is Verdict.SAID:
        assert told
    else:
        assert neighbour.why
