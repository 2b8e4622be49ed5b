"""MultiLoraLoader in a real server: what it accepts, refuses and re-runs."""

import json
import os
import shutil
import time

import numpy as np
import pytest

CHECKPOINT = "small_sd15.safetensors"


def graph(name: str, **inputs) -> dict:
    """Two steps of a small picture through MultiLoraLoader, its texts shown by PreviewAny."""
    loader = {"loras": "", "strengths": "", "prompt": "a woman", **inputs}
    return {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}},
        "loras": {
            "class_type": "MultiLoraLoader",
            "inputs": {"model": ["checkpoint", 0], "clip": ["checkpoint", 1], **loader},
        },
        "report": {"class_type": "PreviewAny", "inputs": {"source": ["loras", 4]}},
        "triggers": {"class_type": "PreviewAny", "inputs": {"source": ["loras", 3]}},
        "prompt": {"class_type": "PreviewAny", "inputs": {"source": ["loras", 2]}},
        **sampling(["loras", 0], ["loras", 1], ["loras", 2], name),
    }


def core_graph(name: str, *loras: tuple[str, float]) -> dict:
    """The same picture through a chain of core LoraLoaders."""
    nodes = {
        "checkpoint": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": CHECKPOINT}}
    }
    last = "checkpoint"
    for index, (file, strength) in enumerate(loras):
        inputs = {"lora_name": file, "strength_model": strength, "strength_clip": strength}
        inputs |= {"model": [last, 0], "clip": [last, 1]}
        last = f"lora{index}"
        nodes[last] = {"class_type": "LoraLoader", "inputs": inputs}
    return {**nodes, **sampling([last, 0], [last, 1], "a woman", name)}


def sampling(model: list, clip: list, text: list | str, name: str) -> dict:
    return {
        "positive": {"class_type": "CLIPTextEncode", "inputs": {"text": text, "clip": clip}},
        "negative": {"class_type": "CLIPTextEncode", "inputs": {"text": "hat", "clip": clip}},
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 128, "height": 96, "batch_size": 1},
        },
        "sample": {
            "class_type": "KSampler",
            "inputs": {
                "model": model,
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "latent_image": ["latent", 0],
                "seed": 3,
                "steps": 2,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["sample", 0], "vae": ["checkpoint", 2]},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["decode", 0], "filename_prefix": f"live/{name}"},
        },
    }


def text_of(result, node: str) -> str:
    (text,) = result.outputs[node]["text"]
    return text


def test_the_hosted_call_gives_the_picture_of_a_core_chain(server):
    result = server.run(graph("stack", loras="ganyu-lora,more_details", strengths="1,0.6"))
    assert result.status == "success", result.error
    expected = server.run(
        core_graph("chain", ("ganyu-lora.safetensors", 1.0), ("more_details.safetensors", 0.6))
    )
    plain = server.run(core_graph("plain"))
    ours, core, none = (np.asarray(r.images[0]).astype(int) for r in (result, expected, plain))
    assert np.abs(ours - core).max() <= 1
    assert np.abs(core - none).mean() > 1

    report = json.loads(text_of(result, "report"))
    assert [(lora["file"], lora["strength"]) for lora in report["loras"]] == [
        ("ganyu-lora.safetensors", 1.0),
        ("more_details.safetensors", 0.6),
    ]
    assert all(lora["matched"] == lora["keys"] for lora in report["loras"])
    assert text_of(result, "triggers") == "ganyu-lora, more_details"
    workflow = json.loads(result.images[0].info["prompt"])
    assert workflow["loras"]["inputs"]["loras"] == "ganyu-lora,more_details"


def test_tags_with_documented_ids_come_out_of_the_prompt(server):
    tagged = "a <lora:849330:0.7:0.2>, (ohwx woman) <lora:861629>"
    result = server.run(graph("tags", prompt=tagged))
    assert result.status == "success", result.error
    assert text_of(result, "prompt") == "a, (ohwx woman)"
    loras = json.loads(text_of(result, "report"))["loras"]
    assert [(lora["strength"], lora["clip_strength"]) for lora in loras] == [(0.7, 0.2), (1.0, 1.0)]
    assert [lora["file"].replace(os.sep, "/") for lora in loras] == [
        "people/ohwx_first.safetensors",
        "people/ohwx_second.safetensors",
    ]


BAD = [
    ({"loras": "ganyu-lora,nobody"}, "Input 'loras': LoRA 'nobody' is no file in 'loras'"),
    ({"prompt": "a <lora:gannyu-lora:1>"}, "Nearest: 'ganyu-lora.safetensors'"),
    ({"loras": "twin"}, "Input 'loras': LoRA 'twin' means 2 files in 'loras'"),
    ({"prompt": "a <lora::1>"}, "has no name"),
    ({"loras": "ganyu-lora,peft", "strengths": "1,1,1"}, "3 numbers for 2 names"),
    ({"loras": "ganyu-lora", "strengths": "nan"}, "'nan' is not a finite number"),
    ({"prompt": "a <lora:peft:inf>"}, "'inf' is not a finite number"),
    ({"loras": "../../secret"}, "is no file"),
    ({"on_missing": "maybe"}, "'maybe'; it takes 'error' or 'skip'"),
]


@pytest.mark.parametrize(("inputs", "words"), BAD)
def test_bad_text_typed_into_the_node_is_refused(server, inputs, words):
    status, answer = server.post(graph("bad", **inputs))
    assert status == 400
    (error, *_) = answer["node_errors"]["loras"]["errors"]
    assert words in error["details"]
    assert "aliases.json" in error["details"] or "is no file" not in error["details"]


@pytest.mark.parametrize(("inputs", "words"), BAD[:7])
def test_bad_text_linked_in_stops_before_sampling_with_the_same_message(server, inputs, words):
    nodes = graph("linked")
    for name, text in inputs.items():
        nodes[f"text_{name}"] = {
            "class_type": "PrimitiveStringMultiline",
            "inputs": {"value": text},
        }
        nodes["loras"]["inputs"][name] = [f"text_{name}", 0]
    result = server.run(nodes)
    assert result.status == "error"
    assert words in result.error
    assert "sample" not in result.executed


def test_skipping_a_missing_lora_goes_on_and_says_so(server):
    result = server.run(graph("skip", loras="nobody,ganyu-lora", strengths="1", on_missing="skip"))
    assert result.status == "success", result.error
    report = json.loads(text_of(result, "report"))
    assert [skipped["name"] for skipped in report["skipped"]] == ["nobody"]
    assert [lora["file"] for lora in report["loras"]] == ["ganyu-lora.safetensors"]
    assert "nobody" in result.log


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truncated", "is incomplete or not a LoRA"),
        ("bad/sdxl", "none of the 24 keys in LoRA 'bad/sdxl.safetensors' fits"),
    ],
)
def test_a_file_that_cannot_work_stops_before_sampling(server, name, words):
    result = server.run(graph("broken", loras=name))
    assert result.status == "error"
    assert words.replace("/", os.sep) in result.error
    assert "sample" not in result.executed


def test_a_file_of_which_little_fits_is_a_warning(server):
    result = server.run(graph("partly", loras="partly"))
    assert result.status == "success", result.error
    (lora,) = json.loads(text_of(result, "report"))["loras"]
    assert "fit this" in lora["warning"] and lora["warning"] in result.log


def test_an_edited_file_runs_again_and_an_unedited_one_does_not(server):
    folder = (server.base / "models" / "loras").resolve()
    mine = folder / "live_edited.safetensors"
    shutil.copy(folder / "ganyu-lora.safetensors", mine)
    try:
        first = server.run(graph("edited", loras="live_edited"))
        assert first.status == "success", first.error
        assert "loras" in server.run(graph("edited", loras="live_edited")).cached
        shutil.copy(folder / "more_details.safetensors", mine)
        again = server.run(graph("edited", loras="live_edited"))
        assert "loras" in again.executed
        difference = np.asarray(again.images[0]).astype(int) - np.asarray(first.images[0])
        assert np.abs(difference).mean() > 0.5
    finally:
        mine.unlink()


def test_it_runs_again_after_memory_was_freed(server):
    server.run(graph("free", loras="ganyu-lora"))
    status, _ = server.client.post_json("/free", {"unload_models": True, "free_memory": True})
    assert status == 200
    # The queue's thread frees memory in its own time; until it has, the run is cached.
    for _ in range(100):
        again = server.run(graph("free", loras="ganyu-lora"))
        assert again.status == "success", again.error
        if "loras" in again.executed:
            return
        time.sleep(0.1)
    pytest.fail("ComfyUI never freed its memory")
