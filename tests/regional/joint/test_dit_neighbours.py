"""The standing matrix on DiTs: core's nodes beside ours, with the same node on a graph with the LoRA
merged as the oracle. One person everywhere, texts of unequal length, a batch of two."""

import dataclasses
import zlib

import neighbours
import pytest
import small
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from dit_neighbours import CONDITIONING, SIZE, TABLE
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.people import Method, TextSees
from ensemble_portraits.ensemble.regional.rows import KEY
from neighbours import Verdict

TOLERANCE = 3e-5
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def scenes():
    made = {}

    def of(name):
        if name not in made:
            family = small.FAMILIES[name]
            model = family.make()
            state = small.lora(model, 1)
            made[name] = model, state, small.people(
                model, family, [state], torch.ones(1, *SIZE), base_strength=0.0,
                text_sees=TextSees.ALL,
            )  # fmt: skip
        return made[name]

    return of


def cells():
    """A quarter in every gate, chosen by name."""
    for name, dit in TABLE.items():
        for family in dit.families:
            for method in Method:
                for where in ("after",) if name in CONDITIONING else dit.where:
                    cell = f"{name}-{family}-{method.value}-{where}"
                    quarter = zlib.crc32(cell.encode()) % 4 == 0
                    marks = () if quarter else pytest.mark.slow
                    yield pytest.param(name, family, method, where, marks=marks, id=cell)


def changed(name, side, family, inputs):
    other = small.text(7, 9, small.FAMILIES[family]).conditioning
    types = neighbours.input_types(neighbours.core_nodes()[name])
    sides = [key for key, (kind, *_) in types.items() if kind == "CONDITIONING"]
    given = {key: side if i == 0 else other for i, key in enumerate(sides)}
    return neighbours.call(name, **given, **inputs)[0]


def sampled(run, family, dit):
    return small.sample(
        *run, family=small.FAMILIES[family], size=SIZE, batch=dit.batch, cfg=dit.cfg
    )


@pytest.mark.parametrize(("name", "family", "method", "where"), list(cells()))
def test_beside_ours(scenes, name, family, method, where):
    neighbours.core_nodes()
    dit = TABLE[name]
    inputs = dit.inputs(family) if callable(dit.inputs) else dit.inputs
    model, state, people = scenes(family)
    people = dataclasses.replace(people, method=method)
    texts = (people.people[0].positive.conditioning, people.people[0].negative.conditioning)
    verdict = dit.fused if method is Method.FUSED else dit.exact

    def after(patched, positive, negative):
        if name in CONDITIONING:
            if "positive" in neighbours.input_types(neighbours.core_nodes()[name]):
                sides = neighbours.changed(name, positive, negative, inputs)
            else:
                sides = [changed(name, side, family, inputs) for side in (positive, negative)]
            return sampled((patched, *sides), family, dit)
        if where == "after":
            patched = neighbours.patched(name, patched, inputs)
        return sampled((patched, positive, negative), family, dit)

    if where == "before":
        patched = neighbours.patched(name, model, inputs)
        run = build(dataclasses.replace(people, model=patched))
        plain = small.merged(patched, state)
    else:
        run, plain = build(people), small.merged(model, state)
    told: list[str] = []
    run.model.wrappers[WrappersMP.CALC_COND_BATCH][KEY][0].__self__.names.tell = told.append
    if verdict is Verdict.REFUSED:
        with pytest.raises((RuntimeError, ValueError), match="BreakRegionalPrompt"):
            after(*run[:3])
        return
    ours = after(*run[:3])
    if verdict is Verdict.SAID:
        assert told
    elif verdict is Verdict.EXPLAINED:
        assert dit.why
    else:
        assert tiny.relative(ours, after(plain, *texts)) < TOLERANCE
        assert not told
