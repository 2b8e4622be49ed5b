"""Every kind of adapter on DiTs: one person everywhere is core's own loader, and of two people each
token gets its own person's change."""

import itertools
import zlib

import pytest
import small
import tiny
import torch
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.families.family import Stream
from ensemble_portraits.ensemble.regional.families.transformer import Grid, Rule, Texts, TextSpan
from ensemble_portraits.ensemble.regional.joint.layers import PerToken, with_stream_adapters
from ensemble_portraits.ensemble.regional.joint.tokens import TokenMap
from ensemble_portraits.ensemble.regional.lifetime import replaced_forwards
from ensemble_portraits.ensemble.regional.people import Method, TextSees
from ensemble_portraits.ensemble.regional.stack import stack_adapters
from kinds_of_files import CONVOLUTIONS_ONLY, KINDS, file_of

TOLERANCE = 1e-4
SIZE = (16, 24)
LINEAR = [kind for kind in KINDS if kind not in (*CONVOLUTIONS_ONLY, "glora old", "bias")]


def layers_of(model) -> str:
    """Of every linear layer of the blocks whose widths the blocks of OFT and LoKr divide."""
    names = [
        name
        for name in small.linears(model.model.diffusion_model)
        if not name.startswith("llm_adapter.")
        and model.model.diffusion_model.get_submodule(name).weight.shape[0] % 8 == 0
        and model.model.diffusion_model.get_submodule(name).weight.shape[1] % 8 == 0
    ]
    return rf"^({'|'.join(names)})\.weight$"


def cells():
    """Each kind on some families in every gate, chosen by name, and all in the slow tier."""
    for name, kind, method in itertools.product(small.FAMILIES, LINEAR, Method):
        cell = f"{name}-{kind}-{method.value}"
        marks = () if zlib.crc32(cell.encode()) % 6 == 0 else pytest.mark.slow
        yield pytest.param(name, kind, method, marks=marks, id=cell)


@pytest.mark.parametrize(("name", "kind", "method"), list(cells()))
def test_every_kind_is_as_core_merges_it(models, name, kind, method):
    family, model = small.FAMILIES[name], models(name)
    state = file_of(model, kind, layers_of(model))
    people = small.people(
        model, family, [state], torch.ones(1, *SIZE), base_strength=0.0, method=method,
        text_sees=TextSees.ALL, strengths=[0.6],
    )  # fmt: skip
    person = people.people[0]
    texts = person.positive.conditioning, person.negative.conditioning
    wanted = small.sample(small.merged(model, state, 0.6), *texts, family=family, size=SIZE)
    assert tiny.relative(small.sample(model, *texts, family=family, size=SIZE), wanted) > 0.01
    ours = small.sample(*build(people)[:3], family=family, size=SIZE)
    assert tiny.relative(ours, wanted) < TOLERANCE


STREAMS = {
    "double_blocks.0.img_mlp.0": Rule("", Stream.IMAGE),
    "double_blocks.0.txt_mlp.0": Rule("", Stream.TEXT),
    "single_blocks.0.linear1": Rule("", Stream.JOINT),
    "double_blocks.0.img_mod.lin": Rule("", Stream.VECTOR, Stream.IMAGE),
    "single_blocks.0.modulation.lin": Rule("", Stream.VECTOR, Stream.JOINT),
    "time_in.in_layer": Rule("", Stream.VECTOR),
}


@pytest.mark.parametrize("layer_name", STREAMS)
@pytest.mark.parametrize("kinds", list(itertools.pairwise(LINEAR)), ids=" and ".join)
def test_every_token_gets_its_own_persons_change(models, kinds, layer_name):
    """Two people with unlike kinds on one layer, left and right, each with their own text."""
    model, rule = models("flux"), STREAMS[layer_name]
    layer = model.model.diffusion_model.get_submodule(layer_name)
    states = [
        file_of(model, kind, rf"^{layer_name}\.weight$", 1 + i) for i, kind in enumerate(kinds)
    ]
    patches = [tiny.person_patches(model, state, 0.7) for state in states]
    stack = dict(stack_adapters(model, patches, torch.float32).items())[layer_name]
    grid = Grid(2, 4)
    regions = grid.of(small.halves((2, 4)))
    spans = tuple(TextSpan(i, n, n) for i, n in ((-1, 3), (0, 2), (1, 4)))
    tokens = TokenMap(Texts(spans), grid, torch.cat([torch.zeros(1, 8), regions]), regions)
    text = torch.tensor([0] * 3 + [1] * 2 + [2] * 4)  # whose: nobody's, the first's, the second's
    picture = 1 + regions[1].long()
    whose = {Stream.IMAGE: picture, Stream.TEXT: text, Stream.JOINT: torch.cat([text, picture])}
    vector = rule.stream is Stream.VECTOR
    of_tokens = whose.get(rule.reach if vector else rule.stream)
    lead = (2,) if vector else (2, len(of_tokens))
    x = torch.randn(*lead, layer.in_features, generator=torch.Generator().manual_seed(3))
    made = [layer(x), *(_merged(model, layer, layer_name, state, x) for state in states)]
    with replaced_forwards([(layer, with_stream_adapters(layer, stack, rule, tokens))]):
        ours = layer(x)
    if of_tokens is None:  # a vector without a place: both, in their share of the picture
        assert tiny.relative(ours, (made[1] + made[2]) / 2) < 1e-5
        return
    if isinstance(ours, PerToken):
        ours, made = ours.tensor, [y[:, None].expand(-1, len(of_tokens), -1) for y in made]
    for who, wanted in enumerate(made):
        there = of_tokens == who
        if there.any():
            assert tiny.relative(ours[:, there], wanted[:, there]) < 1e-5, who


def _merged(model, layer, name, state, x):
    key = f"diffusion_model.{name}.weight"
    weight = small.merged(model, state, 0.7).patch_weight_to_device(key, return_weight=True)
    return torch.nn.functional.linear(x, weight, layer.bias)
