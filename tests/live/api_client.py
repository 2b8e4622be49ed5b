"""A client of the API, written from the hosted service's documentation alone."""

import base64
import io
import json
import time
from pathlib import Path

import requests
from PIL import Image

HERE = Path(__file__).parent
DOCUMENTED = json.loads((HERE.parent / "fixtures" / "recipes" / "lora_multi.json").read_text())
SMALL = {"width": "64", "height": "64", "num_inference_steps": "1"}
# Documented names of meta, as the service's answer has them.
META = set(
    [
        "prompt",
        "model_id",
        "negative_prompt",
        "scheduler",
        "safety_checker",
        "W",
        "H",
        "guidance_scale",
        "seed",
        "steps",
        "n_samples",
        "full_url",
        "tomesd",
        "upscale",
        "multi_lingual",
        "panorama",
        "self_attention",
        "use_karras_sigmas",
        "embeddings",
        "vae",
        "lora",
        "lora_strength",
        "clip_skip",
        "temp",
        "base64",
        "file_prefix",
    ]
)


def post(server, path, **body):
    """As the documentation's Python sample does it."""
    return requests.post(
        f"{server.url}/ensemble{path}",
        headers={"Content-Type": "application/json"},
        data=json.dumps({"key": "", **body}),
        timeout=60,
    )


def generate(server, path="/api/v4/dreambooth", **changes):
    return post(server, path, **{**DOCUMENTED, **SMALL, **changes}).json()


def poll(server, answer):
    """The documented loop: fetch until it is no longer processing."""
    number = answer["id"]
    for _ in range(600):
        if answer["status"] != "processing":
            return answer
        time.sleep(0.1)
        answer = post(server, "/api/v4/dreambooth/fetch", request_id=str(number)).json()
    raise AssertionError("still processing")


def pictures(answer):
    found = [requests.get(link, timeout=60).content for link in answer["output"]]
    return [Image.open(io.BytesIO(data)) for data in found]


def plain(**changes):
    """A body that needs little: no LoRAs, no checker."""
    off = {"lora_model": None, "safety_checker": "no", "enhance_prompt": "no", "tomesd": "no"}
    return {**off, **changes}


def picture_url(picture, head="data:image/png;base64,"):
    written = io.BytesIO()
    picture.save(written, format="PNG")
    return head + base64.b64encode(written.getvalue()).decode()
