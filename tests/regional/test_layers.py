"""Layer by layer: where a person's mask is 1, the layer is that person's single-LoRA layer."""

import itertools
import re

import pytest
import tiny
import torch
from ensemble_portraits.ensemble.regional.changes import plain_weight
from ensemble_portraits.ensemble.regional.families.unet import STABLE_DIFFUSION
from ensemble_portraits.ensemble.regional.kinds.product import Factors
from ensemble_portraits.ensemble.regional.layers import with_adapters
from ensemble_portraits.ensemble.regional.layers_by_row import RowPeople, with_adapters_by_row
from ensemble_portraits.ensemble.regional.lifetime import replaced_forwards
from ensemble_portraits.ensemble.regional.region_gate import RegionGate
from ensemble_portraits.ensemble.regional.stack import LayerStack, stack_adapters
from kinds_of_files import CONVOLUTIONS_ONLY, KINDS, file_of

token_grids = STABLE_DIFFUSION.token_grids
TOLERANCE = 1e-5  # one layer, float32
BLOCKS = r"^(?!out\.|input_blocks\.0\.).*" + tiny.EVERYTHING
stream = STABLE_DIFFUSION.stream


LEFT_OUT = {*CONVOLUTIONS_ONLY, "glora old", "bias"}
_ALONE = [kind for kind in KINDS if kind not in LEFT_OUT]
PAIRS = list(itertools.zip_longest(_ALONE[::2], _ALONE[1::2], fillvalue=_ALONE[0]))
"""Every kind beside another one, on the same layers."""


@pytest.fixture(scope="module", params=["lora", *PAIRS], ids=str)
def scene(request):
    model = tiny.model()
    if request.param == "lora":
        states = [tiny.lora(model, 1 + i, rank=3 + i, layers=tiny.EVERYTHING) for i in range(2)]
    else:
        states = [file_of(model, kind, BLOCKS, i) for i, kind in enumerate(request.param)]
    patches = [tiny.person_patches(model, state, 0.7) for state in states]
    return model, states, stack_adapters(model, patches, torch.float32)


def layer_input(layer, name: str, rows: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(name))
    if isinstance(layer, torch.nn.Conv2d):
        return torch.randn(rows, layer.in_channels, 8, 12, generator=generator)
    if re.search("emb", name):
        return torch.randn(rows, layer.in_features, generator=generator)
    return torch.randn(rows, 96, layer.in_features, generator=generator)


def test_every_kind_of_layer_by_place(scene):
    """Left half person 0, right half person 1; layers without space get the mean of both masks."""
    model, states, stack = scene
    masks = tiny.columns(2, 8, 12)
    gate = RegionGate(masks, token_grids(8, 12), None)
    kinds = set()
    for name, layer_stack in stack.items():
        layer = model.model.diffusion_model.get_submodule(name)
        x = layer_input(layer, name)
        with replaced_forwards([(layer, with_adapters(layer, layer_stack, gate, stream(name)))]):
            ours = layer(x)
        singles = [single(model, layer, name, states, i, x) for i in range(2)]
        if ours.ndim == 4:
            half = ours.shape[3] // 2
            parts = [
                (ours[..., :half], singles[0][..., :half]),
                (ours[..., half:], singles[1][..., half:]),
            ]
        elif ours.ndim == 3:
            mask = masks.flatten(1).bool()
            parts = [(ours[:, m], s[:, m]) for m, s in zip(mask, singles, strict=True)]
        else:
            parts = [(ours, (singles[0] + singles[1]) / 2)]
        for got, wanted in parts:
            assert tiny.relative(got, wanted) < TOLERANCE, name
        kinds.add((type(layer).__name__, x.ndim))
    assert {ndim for _, ndim in kinds} == {2, 3, 4}


@pytest.mark.parametrize("owners", [(1, -1), (1, 0), (-1, 0, 1, 1, 0, -1), (-1, -1)])
def test_every_kind_of_layer_by_row(scene, owners):
    """Rows of one batch in any order, people of unlike ranks, rows that are nobody's."""
    model, states, stack = scene
    rows = RowPeople(owners)
    for name, layer_stack in stack.items():
        layer = model.model.diffusion_model.get_submodule(name)
        x = layer_input(layer, name, len(owners))
        wanted = [layer(x), *(single(model, layer, name, states, i, x) for i in range(2))]
        with replaced_forwards([(layer, with_adapters_by_row(layer, layer_stack, rows))]):
            ours = layer(x)
        for row, owner in enumerate(owners):
            assert tiny.relative(ours[row], wanted[owner + 1][row]) < TOLERANCE, name


def test_a_person_without_this_layer_and_frames_laid_into_the_batch():
    """Person 1 has no LoRA here; every row of the batch is three frames long, and channels come
    last or next to the batch."""
    model = tiny.model()
    name = "middle_block.1.transformer_blocks.0.attn1.to_q"
    states = [tiny.lora(model, 1, layers=re.escape(name)), {}]
    patches = [tiny.person_patches(model, state, 0.7) for state in states]
    layer_stack = dict(stack_adapters(model, patches, torch.float32).items())[name]
    layer = model.model.diffusion_model.get_submodule(name)
    x = torch.randn(3 * 3, 4, 5, layer.in_features, generator=torch.Generator().manual_seed(1))
    wanted = torch.cat([layer(x[:6]), single(model, layer, name, states, 0, x[6:])])
    rows = RowPeople((1, -1, 0))
    with replaced_forwards([(layer, with_adapters_by_row(layer, layer_stack, rows))]):
        assert tiny.relative(layer(x), wanted) < TOLERANCE
        with pytest.raises(RuntimeError):
            layer(x[:4])  # no whole number of frames


@pytest.mark.parametrize("shape", [(4, 7, 6), (4, 6), (4, 6, 3, 5)])
def test_gains_and_biases_are_each_rows_own(shape):
    """DoRA's form, `y + (y - b) gain + up down x + difference of b`, for linear layers and
    convolutions; rows that are nobody's stay."""
    generator = torch.Generator().manual_seed(4)

    def random(*size):
        return torch.randn(*size, generator=generator)

    layer = torch.nn.Linear(6, 5) if len(shape) < 4 else torch.nn.Conv2d(6, 5, 1)
    ends = () if len(shape) < 4 else (1, 1)
    mine = [Factors(random(5, 2), random(2, 6, *ends), random(5), random(5)) for _ in range(2)]
    layer_stack = LayerStack(2, list(enumerate(mine)), torch.float32)
    x, owners = random(*shape), (1, -1, 0, 1)
    plain = layer(x)

    def last(y):
        return y.movedim(1, -1) if len(shape) == 4 else y

    with replaced_forwards([(layer, with_adapters_by_row(layer, layer_stack, RowPeople(owners)))]):
        ours = last(layer(x))
    for row, owner in enumerate(owners):
        wanted = last(plain)[row]
        if owner >= 0:
            f = mine[owner]
            assert f.gain is not None and f.bias is not None
            product = last(x)[row] @ f.down.flatten(1).T @ f.up.T
            wanted = wanted + ((wanted - layer.bias) * f.gain + f.bias + product)
        assert tiny.relative(ours[row], wanted) < TOLERANCE


def test_channels_last_pictures(scene):
    model, states, stack = scene
    name, layer_stack = next((n, s) for n, s in stack.items() if n.endswith("in_layers.2"))
    layer = model.model.diffusion_model.get_submodule(name)
    x = layer_input(layer, name).contiguous(memory_format=torch.channels_last)
    wanted = single(model, layer, name, states, 1, x)
    rows = RowPeople((1, 1))
    with replaced_forwards([(layer, with_adapters_by_row(layer, layer_stack, rows))]):
        assert tiny.relative(layer(x), wanted) < TOLERANCE


def single(model, layer, name, states, person, x):
    """The layer with that one LoRA in its weight, by core."""
    clone = model.clone()
    clone.add_patches(tiny.parsed(model, states[person]), 0.7)
    key = f"diffusion_model.{name}.weight"
    weight = clone.patch_weight_to_device(key, return_weight=True)
    before = layer.weight.data
    layer.weight.data = weight
    try:
        return layer(x)
    finally:
        layer.weight.data = before


def test_rows_of_others_are_left_alone(scene):
    model, _, stack = scene
    gate = RegionGate(torch.ones(2, 8, 12) / 2, token_grids(8, 12), torch.tensor([1.0, 0.0]))
    name, layer_stack = next((n, s) for n, s in stack.items() if n.endswith("attn1.to_q"))
    layer = model.model.diffusion_model.get_submodule(name)
    x = layer_input(layer, name)
    plain = layer(x)
    with replaced_forwards([(layer, with_adapters(layer, layer_stack, gate, stream(name)))]):
        ours = layer(x)
    assert torch.equal(ours[1], plain[1])
    assert not torch.allclose(ours[0], plain[0])


def test_a_merged_token_count_is_refused_by_name():
    gate = RegionGate(torch.ones(2, 8, 12), token_grids(8, 12), None)
    with pytest.raises(RuntimeError, match=r"50 tokens.*method = exact"):
        gate.tokens((0, 1), torch.zeros(1, 50, 4))


def test_a_part_of_the_picture_is_not_taken_for_a_level_of_it():
    """A quarter of 8x12 has as many tokens as the whole of it one level down."""
    gate = RegionGate(torch.ones(2, 8, 12), token_grids(8, 12), None)
    gate.options = {"activations_shape": [2, 320, 8, 12]}
    assert gate.tokens((0, 1), torch.zeros(2, 96, 4)).shape == (1, 96, 2)
    for shape in ((2, 24, 4), (8, 24, 4), (4, 96, 4)):
        with pytest.raises(RuntimeError, match="merges or tiles tokens"):
            gate.tokens((0, 1), torch.zeros(shape))


def test_the_plain_weight_is_read_under_a_loaded_patch():
    model = tiny.model()
    key = "diffusion_model.input_blocks.1.1.proj_in.weight"
    before = plain_weight(model, key).clone()
    patched = model.clone()
    patched.add_patches(tiny.parsed(model, tiny.lora(model, 1)), 1.0)
    patched.patch_model(torch.device("cpu"))
    try:
        assert torch.equal(plain_weight(patched, key), before)
    finally:
        patched.unpatch_model()
