"""torch.compile beside ours, whole or block by block, and a step loop without anything that a
captured one could not hold."""

import dataclasses
import re

import pytest
import small
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from comfy_api.torch_helpers import set_torch_compile_wrapper
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.isolation import Isolation
from ensemble_portraits.ensemble.regional.people import Method
from ensemble_portraits.ensemble.regional.rows import KEY
from kinds_of_files import file_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

SIZE = (16, 24)
BLOCKS = r"^(?!llm_adapter|txtfusion).*(mlp|feed_forward)"
KINDS = ("lora dora out", "lokr", "oft", "diff")


def scene(name: str, method: Method, **more):
    """Model, People, and how a run of it is sampled."""
    masks = small.halves(SIZE, 0.2)
    if name == "sd15":
        model = tiny.model()
        states = [file_of(model, kind, tiny.ATTENTION) for kind in KINDS[:2]]
        people = tiny.people(model, states, masks, method=method, strengths=[0.5, 0.5], **more)
        return model, people, lambda *run, **how: tiny.sample(*run, size=SIZE, cfg=2.0, **how)
    family = small.FAMILIES[name]
    model = family.make()
    names = [n for n in small.linears(model.model.diffusion_model) if re.search(BLOCKS, n)]
    states = [file_of(model, kind, rf"^({'|'.join(names)})\.weight$") for kind in KINDS[2:]]
    people = small.people(model, family, states, masks, method=method, strengths=[0.5] * 2, **more)
    return model, people, lambda *run, **how: small.sample(*run, family=family, size=SIZE, **how)


def whole(model):
    model = model.clone()
    set_torch_compile_wrapper(model, backend="eager")
    return model


def by_block(model):
    """As other packs do it: each block of its own, in place of the block."""
    model = model.clone()
    inner = model.model.diffusion_model
    lists = [n for n, m in inner.named_children() if isinstance(m, torch.nn.ModuleList)]
    for name in lists:
        for index, block in enumerate(getattr(inner, name)):
            key = f"diffusion_model.{name}.{index}"
            model.add_object_patch(key, torch.compile(block, backend="eager"))
    return model


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("compiled", [whole, by_block])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("name", ["sd15", "flux", "anima"])
def test_compile_nodes_before_and_after_change_nothing_and_it_is_said(
    name, where, compiled, method
):
    if name == "sd15" and compiled is by_block:
        pytest.skip("core calls the parts of a UNet's blocks, never the block")
    model, people, sample = scene(name, method)
    wanted = sample(*build(people)[:3])
    if where == "before":
        run = build(dataclasses.replace(people, model=compiled(model)))
    else:
        run = build(people)
        run = run._replace(model=compiled(run.model))
    told = []
    run.model.wrappers[WrappersMP.CALC_COND_BATCH][KEY][0].__self__.names.tell = told.append
    frames = torch._dynamo.utils.counters["frames"]["ok"]
    assert tiny.relative(sample(*run[:3]), wanted) < 1e-6
    assert torch._dynamo.utils.counters["frames"]["ok"] == frames  # nothing was compiled
    assert len(told) == 1 and "uncompiled" in told[0]


class Watch(TorchDispatchMode):
    """Counts what makes the host wait for the device."""

    WAITS = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero", "unique")

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        if name in self.WAITS:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("name", ["sd15", "flux", "z_image", "qwen_image", "anima", "krea2"])
def test_no_step_but_the_first_waits_for_the_device(name, method):
    model, people, sample = scene(name, method, isolation=Isolation(1.0))
    run = build(people)
    counts = {}

    def watch(label):
        calls = []

        def wrapper(executor, *args, **kwargs):
            with Watch() as watching:
                out = executor(*args, **kwargs)
            calls.append(len(watching.seen))
            return out

        counts[label] = calls
        return wrapper

    run.model.add_wrapper(WrappersMP.APPLY_MODEL, watch("ours"))
    sample(*run[:3], steps=3)
    plain = model.clone()
    plain.add_wrapper(WrappersMP.APPLY_MODEL, watch("plain"))
    sample(plain, people.base.conditioning, people.negative.conditioning, steps=3)
    later = counts["ours"][len(counts["ours"]) // 3 :]  # exact calls it once per length of a text
    assert len(later) >= 2 and max(later) <= max(counts["plain"][1:])


class Recorder(TorchDispatchMode):
    """Every operation with its plain numbers and the shapes of its tensors."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        flat, _ = tree_flatten((args, kwargs or {}))
        plain = [tuple(v.shape) if isinstance(v, torch.Tensor) else v for v in flat]
        self.seen.append((func.__name__, str(plain)))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("name", ["sd15", "flux", "z_image", "qwen_image", "anima", "krea2"])
def test_every_later_step_is_the_same_operations_with_the_same_numbers(name, method):
    """What a captured graph replays. What differs from step to step may only be in tensors."""
    _, people, sample = scene(name, method, isolation=Isolation(1.0))
    run = build(people)
    steps: dict[float, list] = {}

    def record(executor, x, t, *args, **kwargs):
        with Recorder() as recorder:
            out = executor(x, t, *args, **kwargs)
        steps.setdefault(float(t[0]), []).extend(recorder.seen)
        return out

    run.model.add_wrapper(WrappersMP.APPLY_MODEL, record)
    sample(*run[:3], steps=4)
    _first, second, *later = steps.values()
    assert len(later) == 2 and len(second) > 100
    for step in later:
        assert step == second
