"""BreakRegionalPrompt through POST /prompt: the documented prompt, and core as oracle."""

import json

import numpy as np
import pytest
from PIL import Image

from .regional_graphs import CHECKPOINT, DOCUMENTED, masks_node, pixels, regional, sampled


@pytest.mark.parametrize("method", ["fused", "exact"])
def test_the_documented_prompt_becomes_a_picture_that_carries_its_workflow(server, method):
    result = server.run(regional(more={"method": method}))
    assert result.status == "success", result.error
    (image,) = result.images
    assert image.size == (192, 128)
    assert json.loads(image.info["prompt"])["people"]["inputs"]["text"] == DOCUMENTED
    lines = result.outputs["people"]["text"]
    assert any("ohwx_first" in line and line.startswith("person 1") for line in lines)


def test_exact_equals_the_graph_of_core_hooks(server):
    """The same weights of regions by core's own nodes: masks as pictures, LoRAs as hooks on both
    prompts. Up to 3 of 255: core rounds the merged weights to the file's float16, we round nothing
    (tests/regional holds 1e-4 in float32)."""
    masks = np.zeros((2, 128, 192), np.uint8)
    masks[0, :, :96] = masks[1, :, 96:] = 255
    names = [server.upload(Image.fromarray(m), f"mask{i}.png") for i, m in enumerate(masks)]
    ours = regional(
        "a hall BREAK BREAK a woman <lora:849330:1> BREAK a man <lora:861629:0.7>",
        "blurry",
        more={"method": "exact", "weights": "comfy", "base_strength": 0.0},
        links={"regions": ["masks", 0]},
    )
    load = {}
    for i, name in enumerate(names):
        load[f"load{i}"] = {
            "class_type": "LoadImageMask",
            "inputs": {"image": name, "channel": "red"},
        }
    ours.update(load)
    ours["masks"] = {
        "class_type": "BatchMasksNode",
        "inputs": {"masks.mask0": ["load0", 0], "masks.mask1": ["load1", 0]},
    }
    theirs = {"checkpoint": CHECKPOINT, **load}
    sides = {"positive": ("a woman", "a man"), "negative": ("blurry", "blurry")}
    for i, (file, strength) in enumerate(
        [("people/ohwx_first.safetensors", 1.0), ("people/ohwx_second.safetensors", 0.7)]
    ):
        theirs[f"hook{i}"] = {
            "class_type": "CreateHookLora",
            "inputs": {
                "lora_name": file, "strength_model": strength, "strength_clip": strength,
            },
        }  # fmt: skip
        theirs[f"clip{i}"] = {
            "class_type": "SetClipHooks",
            "inputs": {
                "clip": ["checkpoint", 1], "hooks": [f"hook{i}", 0], "apply_to_conds": True,
                "schedule_clip": False,
            },
        }  # fmt: skip
        for side, texts in sides.items():
            theirs[f"{side}{i}"] = {
                "class_type": "CLIPTextEncode",
                "inputs": {"text": texts[i], "clip": [f"clip{i}", 0]},
            }
            theirs[f"{side}mask{i}"] = {
                "class_type": "ConditioningSetMask",
                "inputs": {
                    "conditioning": [f"{side}{i}", 0], "mask": [f"load{i}", 0], "strength": 1.0,
                    "set_cond_area": "default",
                },
            }  # fmt: skip
    for side in sides:
        theirs[side] = {
            "class_type": "ConditioningCombine",
            "inputs": {
                "conditioning_1": [f"{side}mask0", 0],
                "conditioning_2": [f"{side}mask1", 0],
            },
        }
    theirs.update(sampled(["checkpoint", 0], ["positive", 0], ["negative", 0]))
    first, second = server.run(ours), server.run(theirs)
    assert first.status == second.status == "success", first.error + second.error
    assert np.abs(pixels(first) - pixels(second)).max() <= 3
    plain = server.run(regional("a hall", "blurry"))
    assert np.abs(pixels(first) - pixels(plain)).mean() > 2  # and that was not a tautology


def test_one_person_everywhere_is_a_core_lora_loader(server):
    """Statement 1 of the design, on model and CLIP, for both methods."""
    loader = {
        "checkpoint": CHECKPOINT,
        "lora": {
            "class_type": "LoraLoader",
            "inputs": {
                "model": ["checkpoint", 0], "clip": ["checkpoint", 1],
                "lora_name": "people/ohwx_first.safetensors",
                "strength_model": 1.0, "strength_clip": 0.5,
            },
        },
        "positive": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": "a woman", "clip": ["lora", 1]},
        },
        "negative": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": "blurry", "clip": ["lora", 1]},
        },
        **sampled(["lora", 0], ["positive", 0], ["negative", 0]),
    }  # fmt: skip
    reference = server.run(loader)
    for method in ("fused", "exact"):
        graph = regional(
            "BREAK BREAK a woman <lora:849330:1:0.5>",
            "blurry",
            more={"method": method, "weights": "comfy", "base_strength": 0.0},
        )
        result = server.run(graph)
        assert result.status == "success", result.error
        assert np.abs(pixels(result) - pixels(reference)).max() <= 3  # float16 merge, as above


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("start", "PrimitiveFloat", 0.2),
        ("end", "PrimitiveFloat", 0.7),
        ("order", "PrimitiveString", "2,1"),
        ("negative", "PrimitiveString", "blurry"),
        ("boxes", "PrimitiveString", "[[0, 0, 0.5, 1], [0.5, 0, 0.5, 1]]"),
    ],
)
def test_linked_settings_are_taken(server, name, kind, value):
    """At the queue a linked value is not there yet."""
    graph = regional("a hall BREAK BREAK b BREAK c", links={name: ["value", 0]})
    graph["value"] = {"class_type": kind, "inputs": {"value": value}}
    result = server.run(graph)
    assert result.status == "success", result.error
    typed = server.run(regional("a hall BREAK BREAK b BREAK c", more={name: value}))
    assert np.array_equal(pixels(result), pixels(typed))


def test_an_all_black_mask_is_a_warning_and_the_base_alone(server):
    graph = regional("a hall BREAK BREAK b", "", links={"regions": ["mask0", 0]}) | masks_node(2, 0)
    result = server.run(graph)
    assert result.status == "success", result.error
    assert any("person 1 is empty" in line for line in result.outputs["people"]["text"])
    plain = server.run(regional("a hall", ""))
    assert np.abs(pixels(result) - pixels(plain)).max() <= 1
