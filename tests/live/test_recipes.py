"""The three documented examples, byte for byte, compiled by the server and run by it."""

import json
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "fixtures" / "recipes"
COMPILE = "/ensemble/v1/recipes/compile"
SMALL = {"width": 192, "height": 128, "steps": 2}


def compile_recipe(server, text: str, **options):
    return server.client.post_json(COMPILE, {"text": text, **options})


@pytest.fixture(scope="module")
def machine(server):
    """The server with the example's input pictures and aliases for their URLs."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (320, 384), (90, 120, 160))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((110, 60, 210, 180), fill=(220, 180, 150))
    draw.rectangle((80, 180, 240, 384), fill=(150, 40, 40))
    server.upload(picture, "portrait.png")
    path = server.base / "user" / "default" / "ensemble" / "aliases.json"
    aliases = json.loads(path.read_text())
    aliases.setdefault("checkpoints", {}).update(
        {"default": "small_sd15.safetensors", "f222-diffusion": "small_sd15.safetensors"}
    )
    first, second = aliases["loras"]["849330"], aliases["loras"]["861629"]
    aliases["loras"] |= {"ganyu-lora": first, "more_details": second}
    aliases["images"] = {
        "d6ff3soq5pok5tlbcanf599vkw06": "portrait.png",
        "2vxpjloxggnv9s4tw33ckn5xzdnp": "portrait.png",
    }
    path.write_text(json.dumps(aliases))
    return server


@pytest.mark.parametrize("name", ["multi_person.txt", "masked_portrait.txt", "lora_multi.json"])
def test_documented_examples_run(machine, name):
    status, answer = compile_recipe(
        machine, (EXAMPLES / name).read_text(), seed=7, skip_missing=True, **SMALL
    )
    assert status == 200, answer
    print(answer["report"])
    result = machine.run(answer["graph"])
    assert result.status == "success", result.error
    picture = np.asarray(result.images[-1])
    assert picture.std() > 1
    print(result.images[-1].size)
