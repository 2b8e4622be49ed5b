"""Matching against core's own reader: the cut-down key map finds what the whole one does."""

import comfy.lora
import pytest
import torch
from comfy.lora_convert import convert_lora
from ensemble_portraits.ensemble.lora.adapters import (
    KeyMap,
    clip_adapters,
    clip_key_map,
    delta_size,
    match,
    model_adapters,
    model_key_map,
)
from ensemble_portraits.ensemble.lora.cache import TensorCache
from ensemble_portraits.ensemble.lora.files import find_lora

OUT, IN, RANK = 16, 8, 4
LINEAR = torch.Size((OUT, IN))
CONVOLUTION = torch.Size((OUT, IN, 3, 3))


def tensor(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


# Suffixes and shapes as trainers write them, for one layer: [16, 8], or [16, 8, 3, 3] for conv.
UP, DOWN = (OUT, RANK), (RANK, IN)
HADAMARD = {"hada_w1_a": UP, "hada_w1_b": DOWN, "hada_w2_a": UP, "hada_w2_b": DOWN}
TUCKER = {
    "hada_w1_a": (RANK, OUT),
    "hada_w1_b": (RANK, IN),
    "hada_w2_a": (RANK, OUT),
    "hada_w2_b": (RANK, IN),
    "hada_t1": (RANK, RANK, 3, 3),
    "hada_t2": (RANK, RANK, 3, 3),
}
FORMATS = {
    "kohya": (LINEAR, {".lora_up.weight": UP, ".lora_down.weight": DOWN, ".alpha": ()}),
    "kohya dora": (
        LINEAR,
        {".lora_up.weight": UP, ".lora_down.weight": DOWN, ".dora_scale": (OUT, 1)},
    ),
    "kohya conv": (
        CONVOLUTION,
        {".lora_up.weight": (OUT, RANK, 1, 1), ".lora_down.weight": (RANK, IN, 3, 3)},
    ),
    "kohya tucker": (
        CONVOLUTION,
        {
            ".lora_up.weight": (OUT, RANK, 1, 1),
            ".lora_mid.weight": (RANK, RANK, 3, 3),
            ".lora_down.weight": (RANK, IN, 1, 1),
        },
    ),
    "peft": (LINEAR, {".lora_B.weight": UP, ".lora_A.weight": DOWN}),
    "peft default": (LINEAR, {".lora_B.default.weight": UP, ".lora_A.default.weight": DOWN}),
    "bare peft": (LINEAR, {".lora_B": UP, ".lora_A": DOWN}),
    "diffusers processor": (LINEAR, {"_lora.up.weight": UP, "_lora.down.weight": DOWN}),
    "diffusers layer": (LINEAR, {".lora.up.weight": UP, ".lora.down.weight": DOWN}),
    "transformers": (
        LINEAR,
        {".lora_linear_layer.up.weight": UP, ".lora_linear_layer.down.weight": DOWN},
    ),
    "loha": (LINEAR, {f".{part}": shape for part, shape in HADAMARD.items()}),
    "loha tucker": (CONVOLUTION, {f".{part}": shape for part, shape in TUCKER.items()}),
    "lokr": (LINEAR, {".lokr_w1": (4, 4), ".lokr_w2": (4, 2), ".alpha": ()}),
    "lokr low rank": (
        LINEAR,
        {
            ".lokr_w1_a": (4, 2),
            ".lokr_w1_b": (2, 4),
            ".lokr_w2_a": (4, 2),
            ".lokr_w2_b": (2, 2),
        },
    ),
    "lokr tucker": (
        CONVOLUTION,
        {
            ".lokr_w1": (4, 4),
            ".lokr_t2": (2, 2, 3, 3),
            ".lokr_w2_a": (2, 4),
            ".lokr_w2_b": (2, 2),
        },
    ),
    "glora": (
        LINEAR,
        {
            ".a1.weight": (IN, RANK),
            ".a2.weight": (RANK, IN),
            ".b1.weight": (OUT, RANK),
            ".b2.weight": (RANK, IN),
        },
    ),
    "oft": (LINEAR, {".oft_blocks": (4, 4, 4), ".alpha": ()}),
    "boft": (LINEAR, {".oft_blocks": (2, 4, 4, 4), ".alpha": ()}),
    "diff": (LINEAR, {".diff": (OUT, IN), ".diff_b": (OUT,)}),
    "norm": (LINEAR, {".w_norm": (OUT, IN), ".b_norm": (OUT,)}),
    "set": (LINEAR, {".set_weight": (OUT, IN)}),
}

NO_SIZE = {"glora", "oft", "boft", "diff", "norm", "set"}


def layer(suffixes: dict, name: str = "block.layer") -> dict[str, torch.Tensor]:
    return {name + suffix: tensor(*shape) for suffix, shape in suffixes.items()}


def key_map(shape: torch.Size, name: str = "block.layer") -> KeyMap:
    targets = {name: "net.layer.weight", "block.other": "net.other.weight"}
    return KeyMap(targets, {"net.layer.weight": shape, "net.layer.bias": torch.Size((OUT,))})


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_core_reads_is_matched_whole(kind):
    shape, suffixes = FORMATS[kind]
    tensors = layer(suffixes)
    keys = key_map(shape)
    expected = comfy.lora.load_lora(tensors, dict(keys.targets))
    found = match(tensors, keys)
    assert found.adapters.keys() == expected.keys() and expected
    for target, adapter in expected.items():
        assert type(found.adapters[target]) is type(adapter)
        assert getattr(found.adapters[target], "weights", 0) is not None
    assert found.keys == tensors.keys() and found.total == len(tensors)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_size_of_a_change_is_the_weights(kind, caplog):
    """Core adds each of these to a weight of its shape, so the size that we read must agree."""
    shape, suffixes = FORMATS[kind]
    adapters = comfy.lora.load_lora(layer(suffixes), dict(key_map(shape).targets))
    adapter = adapters["net.layer.weight"]
    patch = [(1.0, adapter, 1.0, None, None)]
    changed = comfy.lora.calculate_weight(patch, torch.ones(shape), "net.layer.weight")
    # torch.kron cannot view what core's einsum makes of a Tucker LoKr; the size is right all the
    # same.
    if kind != "lokr tucker":
        assert "ERROR" not in caplog.text and not torch.equal(changed, torch.ones(shape))
    assert delta_size(adapter) == (None if kind in NO_SIZE else shape.numel())


@pytest.mark.parametrize("kind", ["kohya", "peft", "loha", "lokr", "kohya conv", "lokr tucker"])
def test_what_does_not_fit_its_weight_is_left_out(kind):
    shape, suffixes = FORMATS[kind]
    wider = torch.Size((shape[0], shape[1] * 2, *shape[2:]))
    found = match(layer(suffixes), key_map(wider))
    assert found.adapters == {} and found.keys == frozenset()


def test_a_slice_of_a_fused_weight_is_measured_by_its_slice():
    tensors = layer(FORMATS["kohya"][1])
    shapes = {"qkv.weight": torch.Size((3 * OUT, IN))}
    sliced = KeyMap({"block.layer": ("qkv.weight", (0, OUT, OUT))}, shapes)
    assert list(match(tensors, sliced).adapters) == [("qkv.weight", (0, OUT, OUT))]
    whole = KeyMap({"block.layer": "qkv.weight"}, shapes)
    assert match(tensors, whole).adapters == {}


def test_keys_of_no_layer_are_not_matched():
    tensors = layer(FORMATS["kohya"][1]) | layer(FORMATS["kohya"][1], "elsewhere.layer")
    found = match(tensors, key_map(LINEAR))
    assert found.keys == {key for key in tensors if key.startswith("block")}
    assert found.total == 6


LAYOUTS = [
    "people/ohwx_first",
    "peft",
    "layouts/locon",
    "layouts/loha",
    "layouts/lokr",
    "layouts/dora",
    "unet_only",
]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_whole_file_is_matched_as_core_matches_it(name, small_model):
    model, clip = small_model
    tensors = TensorCache(1 << 30).load(find_lora(name))
    on_model, on_clip = model_adapters(model, tensors), clip_adapters(clip, tensors)
    for found, keys in ((on_model, model_key_map(model)), (on_clip, clip_key_map(clip))):
        expected = comfy.lora.load_lora(
            convert_lora(tensors), dict(keys.targets), log_missing=False
        )
        assert list(found.adapters) == list(expected)
        for target, adapter in expected.items():
            assert [w is v or torch.equal(w, v) for w, v in pairs(found.adapters[target], adapter)]
    assert on_model.keys | on_clip.keys == tensors.keys()
    assert bool(on_clip.adapters) is (name != "unet_only")


def pairs(one, other):
    tensors = [w for w in one.weights if isinstance(w, torch.Tensor)]
    return zip(tensors, [w for w in other.weights if isinstance(w, torch.Tensor)], strict=True)
