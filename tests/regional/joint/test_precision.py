"""Method x precision x memory mode x family: every cell runs, in as many calls as ever, and equals
a float32 model that holds the same numbers. docs/precision.md is this in words."""

import itertools
import zlib
from contextlib import contextmanager

import comfy.model_management
import pytest
import small
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from ensemble_portraits.ensemble.lora.adapters import match, model_key_map
from ensemble_portraits.ensemble.regional.build import build, prepare
from ensemble_portraits.ensemble.regional.changes import plain_weight
from ensemble_portraits.ensemble.regional.people import Method
from kinds_of_files import file_of

from dev import quantised

TOLERANCE = 1e-4
SIZE = (16, 24)
STRENGTH = 0.3
FAMILIES = (
    "z_image", "krea2", "flux", "flux2", "chroma", "qwen_image", "sd3", "anima", "sd15", "sdxl",
)  # fmt: skip
UNETS = {"sd15": tiny.DEEP, "sdxl": tiny.SDXL}
INTEGER = ("int8", "int4 convrot")
"""Formats in which core rounds what goes into a layer too, so that nobody's numbers are float32's."""


@contextmanager
def whole(model):
    yield


@contextmanager
def in_part(model):
    """Low VRAM: a third is loaded, the rest comes while a layer runs."""
    load = ModelPatcher.load

    def some(self, device_to=None, lowvram_model_memory=0, full_load=True, **more):
        load(self, device_to, self.model_size() // 3, full_load=False, **more)

    ModelPatcher.load = some
    try:
        yield
    finally:
        ModelPatcher.load = load


@contextmanager
def swapped(model):
    """Block swap: a block has weights only while it runs."""
    stash, handles = {}, []

    def away(block, *_):
        for layer in block.modules():
            stash.setdefault(layer, layer._parameters)
            layer.__dict__["_parameters"] = dict.fromkeys(layer._parameters)

    def back(block, *_):
        for layer in block.modules():
            layer.__dict__["_parameters"] = stash.get(layer, layer._parameters)

    for module in model.model.diffusion_model.modules():
        if isinstance(module, torch.nn.ModuleList):
            for block in module:
                parts = block if isinstance(block, torch.nn.Sequential) else [block]
                for part in parts:
                    handles.append(part.register_forward_pre_hook(back))
                    handles.append(part.register_forward_hook(away))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer, parameters in stash.items():
            layer.__dict__["_parameters"] = parameters


MEMORY = {"whole": whole, "in part": in_part, "block swap": swapped}


@pytest.fixture(scope="module")
def pairs():
    """(packed, float32 with the same numbers) by family and precision; the last ones only."""
    made = {}

    def of(name, precision):
        if (name, precision) not in made:
            made.clear()
            make = small.FAMILIES[name].make if name not in UNETS else (
                lambda: tiny.model(UNETS[name])
            )  # fmt: skip
            made[name, precision] = quantised.quantised(make, precision)
        return made[name, precision]

    return of


def scene(name, model, states, method):
    masks, strengths = small.halves(SIZE), [STRENGTH] * len(states)
    if name in UNETS:
        pooled = 64 if name == "sdxl" else None
        return tiny.people(model, states, masks, method=method, pooled=pooled, strengths=strengths)
    family = small.FAMILIES[name]
    return small.people(model, family, states, masks, method=method, strengths=strengths)


def layers_of(inner) -> str:
    """Linear layers whose widths the blocks of a LoKr divide."""
    sizes = {n: inner.get_submodule(n) for n in small.linears(inner) if "llm_adapter" not in n}
    names = [n for n, m in sizes.items() if m.out_features % 8 == m.in_features % 8 == 0]
    return rf"^({'|'.join(names)})\.weight$"


def sampled(name, run):
    if name in UNETS:
        return tiny.sample(*run, size=SIZE, steps=2, cfg=1.0)
    return small.sample(*run, family=small.FAMILIES[name], size=SIZE)


def cells():
    """Every precision on every family; the memory modes with one precision of each way of casting.
    A twelfth in every gate, chosen by name."""
    for name, precision, memory, method in itertools.product(
        FAMILIES, quantised.PRECISIONS, MEMORY, Method
    ):
        if memory != "whole" and precision not in ("fp32", "fp8 scaled", "gguf q8"):
            continue
        cell = f"{name}-{precision}-{memory}-{method.value}"
        marks = () if zlib.crc32(cell.encode()) % 12 == 0 else pytest.mark.slow
        yield pytest.param(name, precision, memory, method, marks=marks, id=cell)


@pytest.mark.parametrize(("name", "precision", "memory", "method"), list(cells()))
def test_every_cell_runs_and_is_the_float32_model(pairs, name, precision, memory, method):
    """A LoRA and a LoKr, and a DoRA, which reads the weight itself."""
    packed, plain = pairs(name, precision)
    chosen = layers_of(plain.model.diffusion_model)
    states = [file_of(plain, kind, chosen, i) for i, kind in enumerate(("lora dora out", "lokr"))]
    people = scene(name, packed, states, method)
    assert prepare(people).method is method
    wanted = sampled(name, build(scene(name, plain, states, method))[:3])
    comfy.model_management.unload_all_models()
    run = build(people)
    calls = small.count_calls(run.model)
    with MEMORY[memory](packed):
        ours = sampled(name, run[:3])
    comfy.model_management.unload_all_models()
    distance, bound = tiny.relative(ours, wanted), TOLERANCE
    if precision in INTEGER:  # no further off than core's own loader
        person = people.people[0]
        texts = person.positive.conditioning, person.negative.conditioning
        merged = [
            sampled(name, (small.merged(m, states[0], STRENGTH), *texts)) for m in (packed, plain)
        ]
        comfy.model_management.unload_all_models()
        bound = tiny.relative(*merged)
    print(f"CELL|{name}|{precision}|{memory}|{method.value}|{distance:.1e}|{len(calls)}")
    assert distance < bound
    assert not small.touched(packed)


@pytest.mark.parametrize("precision", quantised.PRECISIONS)
def test_a_file_fits_weights_that_are_packed(precision):
    """A packed weight has another shape in the state dict, or one of bytes."""
    packed, plain = quantised.quantised(small.FAMILIES["flux"].make, precision)
    state = file_of(plain, "lora", layers_of(plain.model.diffusion_model))
    found = match(state, model_key_map(packed))
    assert found.keys == state.keys() and not found.misfits


def test_adapters_are_in_the_compute_type():
    """Never in that of the weights: float8 would destroy them."""
    packed, plain = quantised.quantised(small.FAMILIES["flux"].make, "fp8 scaled")
    state = file_of(plain, "lokr", layers_of(plain.model.diffusion_model))
    adapters = prepare(scene("flux", packed, [state], Method.FUSED)).adapters
    assert {p.dtype for p in adapters.parameters()} == {torch.float32}


def test_a_ggufs_own_patches_are_not_read_as_its_weight():
    """ComfyUI-GGUF hangs LoRAs for everybody onto the packed weight; the model's patches have them
    already."""
    packed, plain = quantised.quantised(small.FAMILIES["flux"].make, "gguf q8")
    key = "diffusion_model.double_blocks.0.img_mlp.0.weight"
    weight = packed.model.diffusion_model.double_blocks[0].img_mlp[0].weight
    weight.patches = [([(1.0, ("diff", (torch.ones(weight.shape),)), 1.0, None, None)], key)]
    assert torch.equal(plain_weight(packed, key), plain.model.state_dict()[key])
    assert len(weight.patches) == 1
