"""What surrounds the arithmetic: sides of CFG, the span, others' patches, failures, memory, and
what is refused."""

import dataclasses

import comfy.model_management
import comfy.samplers
import pytest
import small
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.rows import KEY, Span
from torch.utils._python_dispatch import TorchDispatchMode

TOLERANCE = 1e-5
SIZE = (8, 12)
FAMILIES = ("z_image", "krea2", "flux", "flux2", "chroma", "qwen_image", "anima", "sd3")


@pytest.fixture(params=FAMILIES)
def family(request):
    return small.FAMILIES[request.param]


@pytest.fixture
def krea2():
    return small.FAMILIES["krea2"]


def scene(family, model=None, states=None, **more):
    model = model or family.make()
    states = states or [small.lora(model, 1 + i) for i in range(2)]
    return small.people(model, family, states, small.halves(SIZE, 0.2), **more)


def run(family, people, **sampling):
    return small.sample(*build(people)[:3], family=family, size=SIZE, **sampling)


def test_one_call_for_both_sides_of_cfg_where_lengths_agree(krea2):
    """Core batches texts of one length; people's lengths decide with the base's."""
    people = scene(krea2)
    calls = {}
    for name, longer in (("equal", 0), ("people's differ", 3), ("base's differs", 0)):
        texts = [small.text(i, n, krea2) for i, n in enumerate((13, 41))]
        others = [small.text(5 + i, n + longer, krea2) for i, n in enumerate((13, 41))]
        members = tuple(
            dataclasses.replace(p, positive=texts[i], negative=others[i])
            for i, p in enumerate(people.people)
        )
        negative = small.text(9, 20 if "base" not in name else 25, krea2)
        here = dataclasses.replace(people, people=members, negative=negative)
        patched = build(here)
        calls[name] = small.count_calls(patched.model)
        small.sample(*patched[:3], family=krea2, size=SIZE, cfg=4.0, steps=1)
    assert calls == {"equal": [2], "people's differ": [1, 1], "base's differs": [1, 1]}


@pytest.mark.parametrize("base", [20, 25])
@pytest.mark.parametrize("name", ["krea2", "z_image", "qwen_image", "anima"])
def test_each_side_of_cfg_has_its_own_texts(name, base):
    """Against two runs at CFG 1 joined by hand; in one batch, and in two where the negative of the
    scene has another length and people's texts have the same."""
    family = small.FAMILIES[name]
    people = scene(family)
    members = tuple(
        dataclasses.replace(
            p, positive=small.text(i, 13, family), negative=small.text(5 + i, 13, family)
        )
        for i, p in enumerate(people.people)
    )
    people = dataclasses.replace(people, people=members, negative=small.text(9, base, family))
    turned = dataclasses.replace(
        people, base=people.negative, negative=people.base,
        people=tuple(
            dataclasses.replace(p, positive=p.negative, negative=p.positive) for p in members
        ),
    )  # fmt: skip
    together = run(family, people, cfg=4.0, steps=1)
    positive, negative = (run(family, p, steps=1) for p in (people, turned))
    assert tiny.relative(together, negative + 4.0 * (positive - negative)) < 2 * TOLERANCE


@pytest.mark.parametrize(("start", "end"), [(0.4, 1.0), (0.0, 0.5)])
def test_people_act_only_in_their_span(krea2, start, end):
    """Outside of it the base is alone: a run outside the span altogether is the plain run, and the
    steps inside differ from it."""
    people = scene(krea2, span=Span(start, end))
    sampling = people.model.model.model_sampling
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", 4)
    inside = [people.span.holds(people.model.model, float(s)) for s in sigmas[:-1]]
    assert any(inside) and not all(inside)
    texts = []

    def look(executor, *args, **kwargs):
        texts.append(args[2].shape[1])
        return executor(*args, **kwargs)

    patched = build(people)
    patched.model.add_wrapper(WrappersMP.DIFFUSION_MODEL, look)  # runs inside ours
    small.sample(*patched[:3], family=krea2, size=SIZE, steps=4)
    assert [n > 20 for n in texts] == inside
    before = dataclasses.replace(people, span=Span(0.9999, 1.0))
    plain = small.sample(
        people.model.clone(), people.base.conditioning, people.negative.conditioning, family=krea2,
        size=SIZE, steps=1,
    )  # fmt: skip
    assert torch.equal(run(krea2, before, steps=1), plain)


def test_an_override_of_others_goes_on_working(family):
    """Sage patches set core's only override: it sees every attention, ours through the split."""
    people = scene(family)
    seen = []

    def theirs(func, *args, **kwargs):
        seen.append(args[0].shape)
        return func(*args, **kwargs)

    patched = build(people)
    patched.model.model_options.setdefault("transformer_options", {})[
        "optimized_attention_override"
    ] = theirs
    out = small.sample(*patched[:3], family=family, size=SIZE)
    assert tiny.relative(out, run(family, people)) < TOLERANCE
    blocks = sum(1 for _ in seen)
    assert blocks > 4 and {shape[1] for shape in seen}


def test_a_forward_that_another_node_leaves_out_is_its_own_business(krea2):
    """EasyCache answers a step from memory."""
    patched = build(scene(krea2))

    def remembered(executor, *args, **kwargs):
        return torch.zeros_like(args[0])

    patched.model.add_wrapper(WrappersMP.DIFFUSION_MODEL, remembered)
    assert torch.isfinite(small.sample(*patched[:3], family=krea2, size=SIZE)).all()


def test_conditioning_of_others_is_left_alone(family):
    """Our model with plain conditioning: the plain result."""
    people = scene(family)
    plain = (people.base.conditioning, people.negative.conditioning)
    wanted = small.sample(people.model.clone(), *plain, family=family, size=SIZE)
    assert torch.equal(small.sample(build(people).model, *plain, family=family, size=SIZE), wanted)


class StopError(Exception):
    pass


def forward_of(model):
    """The one pass of ours that this model carries."""
    (patch,) = model.wrappers[WrappersMP.CALC_COND_BATCH][KEY]
    return patch.__self__.forward


@pytest.mark.parametrize("call", [0, 3])
def test_a_run_that_fails_inside_a_layer_leaves_nothing(family, call):
    people = scene(family)
    unet = people.model.model.diffusion_model
    names = [n for n in small.linears(unet) if "blocks.1" in n or "layers.1" in n]
    calls = []

    def fail(*_):
        calls.append(1)
        if len(calls) > call:
            raise StopError

    handle = unet.get_submodule(names[-1]).register_forward_pre_hook(fail)
    patched = build(people)
    forward = forward_of(patched.model)
    try:
        with pytest.raises(StopError):
            small.sample(*patched[:3], family=family, size=SIZE, steps=5)
    finally:
        handle.remove()
    assert not small.touched(people.model)
    assert forward.cache == {}


def test_an_interrupted_run_leaves_nothing(family, monkeypatch):
    people = scene(family)
    patched = build(people)
    forward = forward_of(patched.model)

    def interrupt(executor, *args, **kwargs):
        comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    patched.model.add_wrapper(forward.around, interrupt)  # inside ours
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        small.sample(*patched[:3], family=family, size=SIZE)
    assert not small.touched(people.model)
    assert forward.cache == {}


class Squares(TorchDispatchMode):
    """Shapes of new tensors whose last two axes are both as long as picture or sequence."""

    def __init__(self, counts: set[int]):
        super().__init__()
        self.counts, self.shapes = counts, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if not isinstance(tensor, torch.Tensor) or tensor.ndim < 2:
                continue
            if set(tensor.shape[-2:]) <= self.counts:
                self.shapes.add(tuple(tensor.shape))
        return out


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_of_tokens_by_tokens_is_made(name):
    """Beside what core's own attention makes where the picture is alone (Z-Image's refiners). These
    counts of tokens are no width of the small models."""
    family = small.FAMILIES[name]
    people = scene(family)
    size = (18, 18) if family.channels == 128 else (36, 36)
    picture, texts = {
        "z_image": (352, (32, 32, 64)), "flux2": (324, (512, 512, 512)),
    }.get(name, (324, (20, 13, 41)))  # fmt: skip
    counts = {picture, picture + sum(texts), *(picture + text for text in texts)}
    shapes = []
    for model, positive, negative in (
        (people.model.clone(), people.base.conditioning, people.negative.conditioning),
        build(people)[:3],
    ):
        with Squares(counts) as seen:
            small.sample(model, positive, negative, family=family, size=size, steps=1)
        shapes.append(seen.shapes)
    plain, fused = shapes
    assert fused <= plain


def test_adapters_are_counted_by_memory_management(krea2):
    model = krea2.make()
    # Not its projector, whose whole weight is smaller than a LoRA's factors, and held so.
    states = [small.lora(model, 1 + i, layers=r"^(?!txtfusion\.projector)") for i in range(2)]
    patched = build(scene(krea2, model, states))
    (adapters,) = patched.model.get_additional_models_with_key(KEY)
    wanted = sum(t.numel() * 4 for s in states for k, t in s.items() if not k.endswith("alpha"))
    assert adapters.model_size() == wanted


def test_a_lora_on_one_persons_text_leaves_the_others_texts(krea2):
    """Layers on texts alone: person 2's text comes out of them as without person 1's LoRA."""
    model = krea2.make()
    state = small.lora(model, 1, layers=r"^(txtfusion|txtmlp)")
    seen = []
    block = model.model.diffusion_model.blocks[0]
    handle = block.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    try:
        for states in ([state, {}], [{}, {}]):
            run(krea2, scene(krea2, model, states), steps=1)
    finally:
        handle.remove()
    with_lora, without = (x[:, :74].split([20, 13, 41], 1) for x in seen)
    changed = [tiny.relative(a, b) for a, b in zip(with_lora, without, strict=True)]
    assert changed[0] == changed[2] == 0.0 and changed[1] > 0.05
