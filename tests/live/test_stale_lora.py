"""A LoRA file that is replaced between two runs of the workflow multi_person, whose text is linked."""

import json
import shutil
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
STAGES = ("super_resolution", "hires_fix", "inpaint_faces", "film_grain")


def workflow() -> dict:
    """multi_person on the small models: two steps, no finishing, its text still linked in."""
    graph = json.loads((ROOT / "example_workflows" / "api" / "multi_person.json").read_text())
    graph["text"]["inputs"]["value"] = "a park BREAK BREAK a woman <lora:live_stale:1> BREAK a man"
    graph["checkpoint"]["inputs"]["ckpt_name"] = "small_sd15.safetensors"
    graph["controlnet"]["inputs"]["control_net_name"] = "small_openpose.safetensors"
    graph["pose"]["inputs"] |= {"width": 192, "height": 128}
    graph["sample"]["inputs"] |= {"steps": 2, "sampler_name": "euler"}
    for stage in STAGES:
        graph[f"finish:{stage}"]["inputs"]["switch"] = False
    assert graph["people"]["inputs"]["text"] == ["text", 0]
    return graph


def test_a_replaced_file_changes_the_picture(server):
    folder = (server.base / "models" / "loras").resolve()
    mine = folder / "live_stale.safetensors"
    shutil.copy(folder / "ganyu-lora.safetensors", mine)
    try:
        first = server.run(workflow())
        assert first.status == "success", first.error
        assert "people" in server.run(workflow()).cached
        shutil.copy(folder / "more_details.safetensors", mine)
        again = server.run(workflow())
        assert "people" in again.executed
        difference = np.asarray(again.images[0]).astype(int) - np.asarray(first.images[0])
        assert np.abs(difference).mean() > 0.5
    finally:
        mine.unlink()
