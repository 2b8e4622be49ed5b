"""Nothing is left behind, whatever happens to a run; others' patches and ours live side by side."""

import dataclasses
import gc
import random

import comfy.hooks
import comfy.model_management
import comfy.ops
import comfy.sample
import comfy.supported_models
import pytest
import tiny
import torch
from comfy.cldm.cldm import ControlNet as ControlModel
from comfy.controlnet import ControlNet
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.patch import KEY, without_regional
from ensemble_portraits.ensemble.regional.people import Method

TOLERANCE = 1e-4
METHODS = list(Method)


@pytest.fixture(scope="module", autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture
def model():
    return tiny.model()


@pytest.fixture
def states(model):
    return [tiny.lora(model, 1 + i) for i in range(2)]


def wrapped(model) -> list:
    return [m for m in model.model.modules() if "forward" in m.__dict__]


class StopError(Exception):
    pass


def failing_layers(model) -> list[str]:
    names = [n for n, _ in model.model.diffusion_model.named_modules()]
    return [next(n for n in names if n.endswith(end)) for end in (
        "input_blocks.1.1.proj_in", "middle_block.1.transformer_blocks.0.attn2.to_out.0",
        "output_blocks.3.1.transformer_blocks.0.ff.net.2",
    )]  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("call", [0, 3])
def test_a_run_that_fails_inside_a_layer(model, states, method, where, call):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = (people.base.conditioning, people.negative.conditioning)
    before = tiny.sample(model.clone(), *plain)
    layer = model.model.diffusion_model.get_submodule(failing_layers(model)[where])
    calls = []

    def fail(module, args):
        calls.append(1)
        if len(calls) > call:
            raise StopError

    handle = layer.register_forward_pre_hook(fail)
    patcher, positive, negative = build(people)[:3]
    with pytest.raises(StopError):
        tiny.sample(patcher, positive, negative, steps=5)
    handle.remove()
    assert not wrapped(model)
    assert torch.equal(tiny.sample(model.clone(), *plain), before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [0, 1, 3])
def test_an_interrupted_run(model, states, method, step):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = (people.base.conditioning, people.negative.conditioning)
    before = tiny.sample(model.clone(), *plain)
    patcher, positive, negative = build(people)[:3]

    def interrupt(at, *_):
        if at == step:
            comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    latent = torch.zeros(1, 4, 8, 12)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        comfy.sample.sample(
            patcher, torch.randn_like(latent), 5, 7.0, "euler", "normal", positive, negative,
            latent, seed=1, disable_pbar=True, callback=interrupt,
        )  # fmt: skip
    assert not wrapped(model)
    assert torch.equal(tiny.sample(model.clone(), *plain), before)


@pytest.mark.parametrize("method", METHODS)
def test_the_caches_of_a_run_end_with_it(model, states, method):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    run = build(people)
    patch = run.model.wrappers[WrappersMP.DIFFUSION_MODEL][KEY][0].__self__
    seen = []
    run.model.add_callback(CallbacksMP.ON_PRE_RUN, lambda p: seen.append(dict(patch.method.cache)))
    tiny.sample(*run[:3])
    assert patch.method.cache == {}
    tiny.sample(*run[:3])
    assert seen == [{}, {}]


def tensor_count() -> int:
    gc.collect()
    return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("method", METHODS)
def test_no_tensor_outlives_a_run(model, states, method):
    def once():
        people = tiny.people(model, states, tiny.columns(2), method=method)
        tiny.sample(*build(people)[:3])
        comfy.model_management.unload_all_models()

    once()
    before = tensor_count()
    for _ in range(3):
        once()
    assert tensor_count() <= before


@pytest.mark.parametrize("method", METHODS)
def test_regional_and_plain_in_turn_do_not_meet(model, states, method):
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = (model.clone(), people.base.conditioning, people.negative.conditioning)
    run = build(people)[:3]
    first = tiny.sample(*run), tiny.sample(*plain)
    second = tiny.sample(*run), tiny.sample(*plain)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_conditioning_of_another_run_is_left_alone(model, states):
    """Our model with plain conditioning, and with that of another regional run: the plain result."""
    people = tiny.people(model, states, tiny.columns(2))
    mine, other = build(people), build(people)
    plain = tiny.sample(model.clone(), people.base.conditioning, people.negative.conditioning)
    mixed = tiny.sample(mine.model, people.base.conditioning, people.negative.conditioning)
    assert torch.equal(mixed, plain)
    assert torch.equal(tiny.sample(mine.model, other.positive, other.negative), plain)


def test_a_patched_model_made_regional_again_is_patched_once(model, states):
    people = tiny.people(model, states, tiny.columns(2))
    again = build(dataclasses.replace(people, model=build(people).model))
    assert torch.equal(tiny.sample(*again[:3]), tiny.sample(*build(people)[:3]))
    assert len(again.model.wrappers[WrappersMP.DIFFUSION_MODEL][KEY]) == 1
    assert KEY not in without_regional(again.model).additional_models


def test_adapters_are_counted_by_memory_management(model, states):
    run = build(tiny.people(model, states, tiny.columns(2)))
    (adapters,) = run.model.get_additional_models_with_key(KEY)
    wanted = sum(t.numel() * 4 for s in states for k, t in s.items() if not k.endswith("alpha"))
    assert adapters.model_size() == wanted


@pytest.mark.parametrize("method", METHODS)
def test_adapters_are_loaded_for_the_run_and_unloaded_after_it(model, states, method):
    run = build(tiny.people(model, states, tiny.columns(2), method=method))
    (adapters,) = run.model.get_additional_models_with_key(KEY)

    def loaded() -> bool:
        return any(m.model is adapters for m in comfy.model_management.current_loaded_models)

    during = []
    run.model.add_callback(CallbacksMP.ON_PRE_RUN, lambda _: during.append(loaded()))
    tiny.sample(*run[:3])
    assert during == [True] and not loaded()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("after", [False, True])
def test_attention_replacements_of_others_take_part(model, states, method, after):
    """IPAdapter's way: attn2 replaced, its own term added to the result; set before or after us."""

    def with_image(q, k, v, options):
        return optimized_attention(q, k, v, options["n_heads"]) + 0.3 * q

    def add(patcher):
        patcher.set_model_attn2_replace(with_image, "input", 1)
        patcher.set_model_attn2_replace(with_image, "middle", 0, 0)

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)
    add(reference)
    person = people.people[0]
    wanted = tiny.sample(reference, person.positive.conditioning, person.negative.conditioning)
    if not after:
        add(people.model)
    run = build(people)
    if after:
        add(run.model)
    assert tiny.relative(tiny.sample(*run[:3]), wanted) < TOLERANCE


def test_tiled_tokens_are_refused_by_fused_and_right_in_exact(model, states):
    """HyperTile: a quarter of the picture per row, as many tokens as there are one level down."""
    from comfy_extras.nodes_hypertile import HyperTile

    def tiled(patcher):
        random.seed(0)
        return HyperTile.execute(patcher, 64, 1, 0, False)[0]

    size = {"size": (16, 16)}
    one = {"base_strength": 0.0, "method": Method.EXACT}
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), **one)
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, states[0]), 1.0)
    texts = (person.positive.conditioning, person.negative.conditioning)
    wanted = tiny.sample(tiled(merged), *texts, **size)
    assert tiny.relative(tiny.sample(merged, *texts, **size), wanted) > 0.01
    run = build(people)
    ours = tiny.sample(tiled(run.model), run.positive, run.negative, **size)
    assert tiny.relative(ours, wanted) < TOLERANCE
    fused = build(dataclasses.replace(people, method=Method.FUSED))
    with pytest.raises(RuntimeError, match="method = exact"):
        tiny.sample(tiled(fused.model), fused.positive, fused.negative, **size)
    assert not wrapped(model)


@pytest.mark.parametrize("method", METHODS)
def test_another_size_inside_the_model(model, states, method):
    """Deep shrink: levels of sizes that halving the latent does not give."""
    from comfy_extras.nodes_model_downscale import PatchModelAddDownscale

    def shrunk(patcher):
        settings = (1, 1.5, 0.0, 1.0, True, "bicubic", "bicubic")
        return PatchModelAddDownscale.execute(patcher, *settings)[0]

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, states[0]), 1.0)
    texts = (person.positive.conditioning, person.negative.conditioning)
    wanted = tiny.sample(shrunk(merged), *texts)
    assert tiny.relative(tiny.sample(merged, *texts), wanted) > 0.01
    run = build(people)
    ours = tiny.sample(shrunk(run.model), run.positive, run.negative)
    assert tiny.relative(ours, wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_forward_that_others_replaced_takes_part_and_stays(model, states, method):
    """Core's bypass LoRAs and many custom nodes set `forward` on a layer of the model."""
    layer = model.model.diffusion_model.get_submodule("input_blocks.1.1.proj_in")
    people = tiny.people(model, states, tiny.columns(2), method=method)
    plain = tiny.sample(*build(people)[:3])
    original, calls = layer.forward, []

    def theirs(x):
        calls.append(1)
        return original(x) * 1.1

    layer.forward = theirs
    changed = tiny.sample(*build(people)[:3])
    assert layer.forward is theirs and len(calls) == 3
    assert tiny.relative(changed, plain) > 1e-3
    del layer.forward
    assert torch.equal(tiny.sample(*build(people)[:3]), plain)


@pytest.mark.parametrize("method", METHODS)
def test_loras_of_others_before_and_after_ours(model, states, method):
    other = tiny.parsed(model, tiny.lora(model, 9))
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)
    reference.add_patches(other, 0.5)
    wanted = tiny.sample(reference, person.positive.conditioning, person.negative.conditioning)
    after = build(people)
    after.model.add_patches(other, 0.5)
    assert tiny.relative(tiny.sample(*after[:3]), wanted) < TOLERANCE
    people.model.add_patches(other, 0.5)
    assert tiny.relative(tiny.sample(*build(people)[:3]), wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_hook_of_others_on_our_conditioning(model, states, method):
    """A LoRA hook that another node sets on all our entries acts as it would on a plain model."""
    hook = comfy.hooks.create_hook_lora(
        lora=tiny.lora(model, 9), strength_model=0.5, strength_clip=0
    )
    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)

    def hooked(conditioning):
        return [[c, {**v, "hooks": hook}] for c, v in conditioning]

    wanted = tiny.sample(
        reference, hooked(person.positive.conditioning), hooked(person.negative.conditioning)
    )
    run = build(people)
    ours = tiny.sample(run.model, hooked(run.positive), hooked(run.negative))
    assert tiny.relative(ours, wanted) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_hook_whose_strength_changes_in_the_run(model, states, method):
    """Keyframes rewrite the layers that made the people's K and V."""

    def hooked(conditioning, hook):
        return [[c, {**v, "hooks": hook}] for c, v in conditioning]

    def hook():
        keyframes = comfy.hooks.HookKeyframeGroup()
        keyframes.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
        keyframes.add(comfy.hooks.HookKeyframe(strength=-1.0, start_percent=0.5))
        group = comfy.hooks.create_hook_lora(tiny.lora(model, 9), 1.0, 0.0)
        group.set_keyframes_on_hooks(keyframes)
        return group

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    merged = model.clone()
    merged.add_patches(tiny.parsed(model, states[0]), 1.0)
    texts = (person.positive.conditioning, person.negative.conditioning)
    run, results = build(people), []
    for patcher, sides in ((merged, texts), (run.model, run[1:3])):
        group = hook()
        results.append(tiny.sample(patcher, *(hooked(side, group) for side in sides), steps=4))
    assert tiny.relative(results[1], results[0]) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("method", METHODS)
def test_other_weight_types(states, method, dtype):
    """The model's weights in another type, its arithmetic in float32: the same numbers as a float32
    model that holds the rounded weights. Adapters are never in float8."""
    low = tiny.model(dtype=dtype)
    same = tiny.model()
    same.model.load_state_dict({k: v.float() for k, v in low.model.state_dict().items()})
    results = []
    for patcher in (low, same):
        people = tiny.people(patcher, states, tiny.columns(2), method=method)
        results.append(tiny.sample(*build(people)[:3]))
    assert tiny.relative(results[0], results[1]) < TOLERANCE


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_is_loaded_in_part(model, states, method, monkeypatch):
    """Low VRAM: most weights are cast, and others' LoRAs merged, only while a layer runs; adapters
    that do not fit stay behind, too."""
    people = tiny.people(model, states, tiny.columns(2), method=method)
    people.model.add_patches(tiny.parsed(model, tiny.lora(model, 9)), 0.5)
    comfy.model_management.unload_all_models()
    whole = tiny.sample(*build(people)[:3])
    comfy.model_management.unload_all_models()
    load, parts = ModelPatcher.load, []

    def in_part(self, device_to=None, lowvram_model_memory=0, full_load=True, **more):
        load(self, device_to, self.model_size() // 3, full_load=False, **more)
        parts.append(self.lowvram_patch_counter())

    monkeypatch.setattr(ModelPatcher, "load", in_part)
    part = tiny.sample(*build(people)[:3])
    comfy.model_management.unload_all_models()
    assert max(parts) > 0
    assert tiny.relative(part, whole) < TOLERANCE
    assert not wrapped(model)


@pytest.mark.parametrize("method", METHODS)
def test_a_controlnet(model, states, method):
    """One person everywhere with a ControlNet on our conditioning, against core with the merged LoRA.
    The base's and the person's text are equal here: fused shows the ControlNet the base's."""
    keys = (
        "image_size",
        "in_channels",
        "model_channels",
        "num_res_blocks",
        "channel_mult",
        "transformer_depth",
        "transformer_depth_middle",
        "context_dim",
        "num_heads",
        "num_head_channels",
        "use_spatial_transformer",
        "use_linear_in_transformer",
        "legacy",
    )
    config = {k: tiny.SD15[k] for k in keys}
    net = ControlModel(
        **config, hint_channels=3, operations=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    generator = torch.Generator().manual_seed(3)
    for parameter in net.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    control = ControlNet(net, load_device=tiny.CPU)
    hint = torch.rand(1, 3, 64, 96, generator=generator)

    def controlled(conditioning):
        own = control.copy().set_cond_hint(hint, 0.9)
        return [
            [c, {**v, "control": own, "control_apply_to_uncond": False}] for c, v in conditioning
        ]

    people = tiny.people(model, states[:1], torch.ones(1, 64, 96), base_strength=0.0, method=method)
    person = people.people[0]
    people = dataclasses.replace(people, base=person.positive, negative=person.negative)
    reference = model.clone()
    reference.add_patches(tiny.parsed(model, states[0]), 1.0)
    plain = tiny.sample(reference, person.positive.conditioning, person.negative.conditioning)
    wanted = tiny.sample(
        reference,
        controlled(person.positive.conditioning),
        controlled(person.negative.conditioning),
    )
    assert tiny.relative(plain, wanted) > 0.01
    run = build(people)
    ours = tiny.sample(run.model, controlled(run.positive), controlled(run.negative))
    assert tiny.relative(ours, wanted) < TOLERANCE


def test_a_model_without_cross_attention_gets_exact_and_says_so():
    """Flux: joint attention. Against core's hooks, as on a UNet."""
    config = {
        "image_model": "flux", "in_channels": 16, "out_channels": 16, "vec_in_dim": 64,
        "context_in_dim": 96, "hidden_size": 128, "mlp_ratio": 2.0, "num_heads": 2, "depth": 1,
        "depth_single_blocks": 1, "axes_dim": [16, 24, 24], "theta": 10000, "patch_size": 2,
        "qkv_bias": True, "guidance_embed": False, "txt_ids_dims": [],
    }  # fmt: skip
    parts = comfy.supported_models.Flux(dict(config))
    parts.unet_config["dtype"] = torch.float32
    parts.set_inference_dtype(torch.float32, None)
    inner = parts.get_model({}, "", device=tiny.CPU)
    generator = torch.Generator().manual_seed(0)
    for name, p in inner.diffusion_model.named_parameters():
        scale = 1 / p[0].numel() ** 0.5 if p.ndim > 1 else 0.0
        p.data = torch.randn(p.shape, generator=generator) * scale + (1.0 if "scale" in name else 0)
    model = ModelPatcher(inner, load_device=tiny.CPU, offload_device=tiny.CPU)
    states = [
        tiny.lora(model, 1 + i, layers=r"(qkv|proj|mlp\.\d|linear\d|lin)\.weight$")
        for i in range(2)
    ]
    people = tiny.people(model, states, tiny.columns(2), pooled=64)
    run = build(people)
    assert any("method = exact" in note for note in run.notes)
    sampling = {"latent": torch.zeros(1, 16, 8, 12), "cfg": 2.0}
    wanted = tiny.sample(*tiny.core_hooks(people, states), **sampling)
    assert tiny.relative(tiny.sample(*run[:3], **sampling), wanted) < TOLERANCE
