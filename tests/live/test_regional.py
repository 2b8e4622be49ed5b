"""BreakRegionalPrompt through POST /prompt: the documented prompt, core as oracle, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dev.client import RefusedError

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
DOCUMENTED = (
    "Glamour aristocrat party 2girl BREAK Zeiss Canon Mark D5, wallpaper, photorealistic, detailed "
    "skin BREAK (ohwx woman) <lora:849330:1> BREAK (ohwx woman) <lora:861629:1>"
)
NEGATIVE = "hat, open mouth, text, oversaturated, ugly, 3d, render, cartoon"


def sampled(model, positive, negative, size=(192, 128), seed=1, batch=1, cfg=7.0) -> dict:
    return {
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": size[0], "height": size[1], "batch_size": batch},
        },
        "sample": {
            "class_type": "KSampler",
            "inputs": {
                "model": model, "positive": positive, "negative": negative,
                "latent_image": ["latent", 0], "seed": seed, "steps": 2, "cfg": cfg,
                "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            },
        },
        "decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["sample", 0], "vae": ["checkpoint", 2]},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["decode", 0], "filename_prefix": "live/regional"},
        },
    }  # fmt: skip


CHECKPOINT = {
    "class_type": "CheckpointLoaderSimple",
    "inputs": {"ckpt_name": "small_sd15.safetensors"},
}


def regional(text=DOCUMENTED, negative=NEGATIVE, more=None, links=None, **sampling) -> dict:
    settings = {
        "method": "fused", "weights": "a1111", "base_strength": 0.2, "feather": 0.06,
        "layout": "columns", "order": "", "start": 0.0, "end": 1.0, "on_missing": "error",
        **(more or {}),
    }  # fmt: skip
    return {
        "checkpoint": CHECKPOINT,
        "people": {
            "class_type": "BreakRegionalPrompt",
            "inputs": {
                "model": ["checkpoint", 0], "clip": ["checkpoint", 1], "text": text,
                "negative": negative, **settings, **(links or {}),
            },
        },
        **sampled(["people", 0], ["people", 1], ["people", 2], **sampling),
    }  # fmt: skip


def pixels(result, index=0) -> np.ndarray:
    return np.asarray(result.images[index].convert("RGB")).astype(float)


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
    ("text", "more", "needles"),
    [
        ("a BREAK BREAK b <lora:nobody:1>", {}, ["nobody", "Nearest", "aliases.json"]),
        ("a BREAK BREAK b <lora::1>", {}, ["no name"]),
        ("a BREAK BREAK b <lora:849330:nan>", {}, ["nan", "line 1"]),
        ("BREAK", {}, ["nothing but BREAK"]),
        ("a BREAK b <lora:849330:1>", {}, ["common", "BREAK BREAK"]),
        ("a BREAK BREAK b BREAK c", {"order": "1,3"}, ["order", "1,3"]),
        ("a BREAK BREAK b", {"start": 0.6, "end": 0.5}, ["start", "0.6"]),
        ("a BREAK BREAK b", {"method": "fast"}, ["fast", "fused", "exact"]),
        ("a BREAK BREAK b", {"weights": "fast"}, ["weights", "fast", "a1111"]),
        ("a BREAK BREAK b", {"on_missing": "cry"}, ["on_missing", "cry", "skip"]),
    ],
)
def test_bad_text_is_refused_at_the_queue(server, text, more, needles):
    status, answer = server.post(regional(text, more=more))
    assert status == 400
    details = json.dumps(answer["node_errors"]["people"])
    assert all(needle in details for needle in needles), details


def test_an_ambiguous_stem_is_refused_with_both_files(server):
    twin = next(
        name
        for name in server.object_info()["LoraLoader"]["input"]["required"]["lora_name"][0]
        if name.startswith("twins")
    )
    stem = Path(twin).stem
    status, answer = server.post(regional(f"a BREAK BREAK b <lora:{stem}:1>"))
    assert status == 400
    assert "2 files" in json.dumps(answer["node_errors"])


def test_linked_text_gets_the_same_message_before_any_sampling(server):
    graph = regional(links={"text": ["words", 0]})
    graph["words"] = {
        "class_type": "PrimitiveStringMultiline",
        "inputs": {"value": "a BREAK BREAK b <lora:nobody:1>"},
    }
    result = server.run(graph)
    assert result.status == "error"
    assert "nobody" in result.error and "Nearest" in result.error
    assert "sample" not in result.executed


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


def test_a_linked_order_is_checked_when_it_arrives(server):
    graph = regional("a BREAK BREAK b BREAK c", links={"order": ["value", 0]})
    graph["value"] = {"class_type": "PrimitiveString", "inputs": {"value": "1,3"}}
    result = server.run(graph)
    assert result.status == "error" and "order" in result.error and "1,3" in result.error


def test_skipping_a_missing_lora_says_so(server):
    result = server.run(
        regional("a BREAK BREAK b <lora:nobody:1>", more={"on_missing": "skip"}, seed=5)
    )
    assert result.status == "success", result.error
    assert any("skipped" in line and "nobody" in line for line in result.outputs["people"]["text"])


@pytest.mark.parametrize(
    ("name", "needle"),
    [("truncated", "incomplete"), ("sdxl", "none of the")],
)
def test_a_useless_file_fails_before_sampling(server, name, needle):
    files = server.object_info()["LoraLoader"]["input"]["required"]["lora_name"][0]
    file = next(f for f in files if f.startswith("bad") and name in f)
    result = server.run(regional(f"a BREAK BREAK b <lora:{file}:1>"))
    assert result.status == "error"
    assert needle in result.error, result.error
    assert "sample" not in result.executed


def masks_node(count: int, value: float = 1.0) -> dict:
    graph = {
        f"mask{i}": {
            "class_type": "SolidMask",
            "inputs": {"value": value, "width": 64, "height": 64},
        }
        for i in range(count)
    }
    graph["masks"] = {
        "class_type": "BatchMasksNode",
        "inputs": {f"masks.mask{i}": [f"mask{i}", 0] for i in range(count)},
    }
    return graph


def test_the_number_of_masks_must_be_one_or_that_of_the_people(server):
    graph = regional("a BREAK BREAK b BREAK c", links={"regions": ["masks", 0]}) | masks_node(3)
    result = server.run(graph)
    assert result.status == "error"
    assert "3 masks" in result.error and "2 people" in result.error
    assert "sample" not in result.executed


def test_an_all_black_mask_is_a_warning_and_the_base_alone(server):
    graph = regional("a hall BREAK BREAK b", "", links={"regions": ["mask0", 0]}) | masks_node(2, 0)
    result = server.run(graph)
    assert result.status == "success", result.error
    assert any("person 1 is empty" in line for line in result.outputs["people"]["text"])
    plain = server.run(regional("a hall", ""))
    assert np.abs(pixels(result) - pixels(plain)).max() <= 1


def test_refused_graphs_run_nothing(server):
    with pytest.raises(RefusedError):
        server.run(regional("BREAK"))
