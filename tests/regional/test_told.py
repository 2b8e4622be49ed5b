"""What no node can refuse and nobody wants is said, once per run; refusals name person and file."""

import pytest
import tiny
import torch
from comfy_execution.utils import CurrentNodeContext
from ensemble_portraits.ensemble.regional.build import build
from ensemble_portraits.ensemble.regional.changes import LoraPatch
from ensemble_portraits.ensemble.regional.people import Method

import nodes

METHODS = list(Method)
NAME = "ensemble_portraits.ensemble.regional.telling"


@pytest.fixture
def model():
    return tiny.model()


@pytest.fixture
def people(model):
    states = [tiny.lora(model, 1 + i) for i in range(2)]
    return {m: tiny.people(model, states, tiny.columns(2), method=m) for m in METHODS}


def lines(caplog) -> list[str]:
    found = [record.getMessage() for record in caplog.records if record.name == NAME]
    caplog.clear()
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_plain_negative_is_told_once_per_run(people, method, caplog):
    run = build(people[method])
    plain = tiny.text(9).conditioning
    for _ in range(2):
        tiny.sample(run.model, run.positive, plain, steps=3)
        (line,) = lines(caplog)
        assert "not BreakRegionalPrompt's" in line and "link both" in line
    tiny.sample(*run[:3])
    tiny.sample(run.model, run.positive, run.positive, steps=2)
    assert lines(caplog) == []


def test_without_loras_a_plain_negative_is_no_trap(model, caplog):
    run = build(tiny.people(model, [{}, {}], tiny.columns(2)))
    tiny.sample(run.model, run.positive, tiny.text(9).conditioning)
    assert lines(caplog) == []


@pytest.mark.parametrize("method", METHODS)
def test_the_model_of_one_node_and_the_conditioning_of_another(people, method, caplog):
    mine, other = build(people[method]), build(people[Method.FUSED])
    scene = people[method]
    painted = tiny.sample(mine.model, other.positive, other.negative)
    (line,) = lines(caplog)
    assert "only the scene is painted" in line
    plain = tiny.sample(scene.model.clone(), scene.base.conditioning, scene.negative.conditioning)
    assert torch.equal(painted, plain)


@pytest.mark.parametrize("method", METHODS)
def test_scaled_weights_after_ours(people, method, caplog):
    from comfy_extras.nodes_attention_multiply import UNetCrossAttentionMultiply

    run = build(people[method])
    scaled = UNetCrossAttentionMultiply.execute(run.model, 1.2, 1.0, 1.0, 1.0)[0]
    tiny.sample(scaled, run.positive, run.negative)
    (line,) = lines(caplog)
    assert "scales weights" in line and "before BreakRegionalPrompt" in line


def test_a_mask_over_everybody_keeps_everybody_in_their_place(people):
    """An all-white ConditioningSetMask changes nothing, with exact as with fused."""
    for method, scene in people.items():
        run = build(scene)
        white = torch.ones(1, 64, 96)
        sides = (
            nodes.ConditioningSetMask().append(side, white, "default", 1.0)[0] for side in run[1:3]
        )
        masked = tiny.sample(run.model, *sides)
        assert tiny.relative(masked, tiny.sample(*run[:3])) < 1e-4, method


def test_lines_go_to_the_node_that_made_the_patch(people, monkeypatch):
    from ensemble_portraits.ensemble.regional import telling

    sent = []

    class Server:
        def send_progress_text(self, text, node_id):
            sent.append((node_id, text))

    monkeypatch.setattr(telling, "_server", Server)
    with CurrentNodeContext("prompt", "7"):
        run = build(people[Method.FUSED])
    with CurrentNodeContext("prompt", "12"):
        tiny.sample(run.model, run.positive, tiny.text(9).conditioning)
    ((node, line),) = sent
    assert node == "7" and "BreakRegionalPrompt" in line


def test_a_refusal_names_the_person_and_the_file(model):
    """A LoRA that makes a layer larger, of which everybody has the same."""
    name = r"diffusion_model.input_blocks.1.1.proj_in"
    state = tiny.lora(model, 1, layers=r"^input_blocks\.1\.1\.proj_in\.weight$")
    state[f"{name}.reshape_weight"] = torch.tensor([64, 64, 1, 1])
    (adapter,) = tiny.parsed(model, state).values()
    scene = tiny.people(model, [{}, {}], tiny.columns(2))
    patches = {f"{name}.weight": (LoraPatch(adapter, 1.0, "ann.safetensors"),)}
    scene.people[1].__dict__["patches"] = patches
    with pytest.raises(ValueError, match=r"^Person 2, LoRA ann\.safetensors: .*MultiLoraLoader"):
        build(scene)
