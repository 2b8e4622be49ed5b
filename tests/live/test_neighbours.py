"""Core's nodes round BreakRegionalPrompt through POST /prompt: as round core's LoraLoader, or with a
line for the person at the screen."""

import numpy as np
import pytest

from .regional_graphs import CHECKPOINT, pixels, regional, sampled

LORA = "people/ohwx_first.safetensors"
CLOSE = 3
"""Of 255: core rounds the merged weights to the file's float16, we round nothing."""


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def everywhere(**more) -> dict:
    """One person with a LoRA, everywhere; `plain` is core's own graph of the same."""
    graph = regional(
        "BREAK BREAK a woman with a very long description, " + "in a long red coat, " * 24
        + "<lora:849330:1>", "blurry",
        more={"base_strength": 0.0, "weights": "comfy"}, links={"regions": ["white", 0]},
    )  # fmt: skip
    return {**graph, "white": node("SolidMask", value=1.0, width=64, height=64), **more}


def plain(**more) -> dict:
    text = "a woman with a very long description, " + "in a long red coat, " * 24
    return {
        "checkpoint": CHECKPOINT,
        "people": node("LoraLoader", model=["checkpoint", 0], clip=["checkpoint", 1],
                       lora_name=LORA, strength_model=1.0, strength_clip=1.0),
        "positive": node("CLIPTextEncode", clip=["people", 1], text=text.strip(" ,")),
        "negative": node("CLIPTextEncode", clip=["people", 1], text="blurry"),
        **sampled(["people", 0], ["positive", 0], ["negative", 0]),
        **more,
    }  # fmt: skip


def wired(graph: dict, **links) -> dict:
    sample = graph["sample"]
    return {**graph, "sample": {**sample, "inputs": {**sample["inputs"], **links}}}


def chains(model, positive, negative) -> dict[str, tuple[dict, dict]]:
    """name -> (nodes, links of the sampler) after the given outputs."""
    zeroed = {"zero": node("ConditioningZeroOut", conditioning=positive)}
    area = {
        f"area{i}": node("ConditioningSetArea", conditioning=side, width=96, height=128, x=96, y=0,
                         strength=1.0)
        for i, side in enumerate((positive, negative))
    }  # fmt: skip
    guided = {"guided": node("RescaleCFG", model=model, multiplier=0.9)}
    return {
        "a zeroed positive as negative": (zeroed, {"negative": ["zero", 0]}),
        "an area": (area, {"positive": ["area0", 0], "negative": ["area1", 0]}),
        "rescaled guidance": (guided, {"model": ["guided", 0]}),
    }


@pytest.mark.parametrize("name", list(chains(None, None, None)))
def test_as_on_cores_own_graph(server, name):
    nodes, links = chains(["people", 0], ["people", 1], ["people", 2])[name]
    ours = server.run(wired(everywhere(**nodes), **links))
    nodes, links = chains(["people", 0], ["positive", 0], ["negative", 0])[name]
    core = server.run(wired(plain(**nodes), **links))
    without = server.run(plain())
    for result in (ours, core, without):
        assert result.status == "success", result.error
    assert np.abs(pixels(core) - pixels(without)).max() > 4 * CLOSE
    assert np.abs(pixels(ours) - pixels(core)).max() <= CLOSE


def test_a_plain_negative_is_told(server):
    graph = everywhere(other=node("CLIPTextEncode", clip=["checkpoint", 1], text="blurry"))
    result = server.run(wired(graph, negative=["other", 0]))
    assert result.status == "success", result.error
    assert "is not BreakRegionalPrompt's" in result.log
    assert "is not BreakRegionalPrompt's" not in server.run(everywhere()).log
