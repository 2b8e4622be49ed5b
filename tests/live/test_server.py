"""The ground that the other live tests stand on: core nodes alone on the small models."""

import numpy as np
import pytest
from PIL import Image

from dev.client import RefusedError


def text_to_image(steps: int = 3, checkpoint: str = "small_sd15.safetensors") -> dict:
    """A plain core graph on the small checkpoint."""
    return {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": checkpoint}},
        "positive": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": "a woman", "clip": ["model", 1]},
        },
        "negative": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["model", 1]}},
        "latent": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 192, "height": 128, "batch_size": 1},
        },
        "sample": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["model", 0],
                "positive": ["positive", 0],
                "negative": ["negative", 0],
                "latent_image": ["latent", 0],
                "seed": 1,
                "steps": steps,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "decode": {
            "class_type": "VAEDecode",
            "inputs": {"samples": ["sample", 0], "vae": ["model", 2]},
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["decode", 0], "filename_prefix": "live/core"},
        },
    }


def test_a_core_graph_gives_a_picture_and_names_what_ran(server):
    result = server.run(text_to_image())
    assert result.status == "success", result.error
    assert {"model", "sample", "save"} <= {*result.executed, *result.cached}
    (image,) = result.images
    assert image.size == (192, 128)
    # In range, neither black nor burnt out: most pixels are away from both ends.
    values = np.asarray(image)
    assert ((values > 8) & (values < 247)).mean() > 0.8
    assert "prompt" in image.info


def test_a_second_run_is_cached(server):
    server.run(text_to_image())
    again = server.run(text_to_image())
    assert "sample" in again.cached and "sample" not in again.executed


def test_a_bad_graph_is_refused_with_its_reason(server):
    status, answer = server.post(text_to_image(checkpoint="none.safetensors"))
    assert status == 400
    assert "none.safetensors" in str(answer["node_errors"])
    with pytest.raises(RefusedError, match=r"ckpt_name.*none\.safetensors"):
        server.run(text_to_image(checkpoint="none.safetensors"))


def test_an_error_while_running_is_told(server):
    graph = text_to_image()
    graph["lora"] = {
        "class_type": "LoraLoader",
        "inputs": {
            "model": ["model", 0],
            "clip": ["model", 1],
            "lora_name": "bad/truncated.safetensors",
            "strength_model": 1.0,
            "strength_clip": 1.0,
        },
    }
    graph["sample"]["inputs"]["model"] = ["lora", 0]
    result = server.run(graph)
    assert result.status == "error"
    assert result.error.startswith("LoraLoader: ")
    assert "LoraLoader" in result.log or "Traceback" in result.log


def test_an_uploaded_picture_survives_the_small_vae(server):
    """The small VAE is a real code: what goes in comes out, pixelated and blurred."""
    ramp = np.linspace(40, 215, 192, dtype=np.uint8)[None, :, None]
    picture = Image.fromarray(np.broadcast_to(ramp, (128, 192, 3)).copy())
    name = server.upload(picture, "ramp.png")
    result = server.run(
        {
            "load": {"class_type": "LoadImage", "inputs": {"image": name}},
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "small_vae.safetensors"}},
            "code": {
                "class_type": "VAEEncode",
                "inputs": {"pixels": ["load", 0], "vae": ["vae", 0]},
            },
            "back": {
                "class_type": "VAEDecode",
                "inputs": {"samples": ["code", 0], "vae": ["vae", 0]},
            },
            "save": {"class_type": "PreviewImage", "inputs": {"images": ["back", 0]}},
        }
    )
    (image,) = result.images
    inner = (slice(16, -16), slice(16, -16))
    difference = np.asarray(image)[inner].astype(float) - np.asarray(picture)[inner]
    # Eight pixels of the ramp span 7 levels; the rest is the soft clamp of TAESD and half
    # precision.
    assert np.abs(difference).max() < 20


def test_the_pack_is_loaded(server):
    info = server.object_info()
    ours = [
        name
        for name, node in info.items()
        if node["python_module"].startswith("custom_nodes.ensemble")
    ]
    from ensemble_portraits.nodes import NODES

    assert len(ours) == len(NODES)
    assert "IMPORT FAILED" not in server.log()
