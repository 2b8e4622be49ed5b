"""A farm of two real ComfyUIs; one of them, and then a worker, is killed in the middle."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.address import Address
from ensemble_portraits.ensemble.cluster.pool import RayPool, connect, disconnect
from PIL import Image

from dev.base import PACK_FOLDER, engine_of_this_python

from ..cluster.conftest import Yard, about, when

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform == "win32", reason="faults are POSIX signals"),
]
RECIPE = {
    "text": "two people in a park BREAK best quality BREAK ann <lora:more_details:1> BREAK a man",
    "checkpoint": "small_sd15.safetensors", "width": 192, "height": 128, "steps": 2, "pictures": 1,
    "skip_missing": True,
}  # fmt: skip


def graph(number: int) -> dict[str, Any]:
    nodes = {
        "model": ("CheckpointLoaderSimple", {"ckpt_name": "small_sd15.safetensors"}),
        "words": ("CLIPTextEncode", {"clip": ["model", 1], "text": f"a park, number {number}"}),
        "none": ("CLIPTextEncode", {"clip": ["model", 1], "text": ""}),
        "latent": ("EmptyLatentImage", {"width": 192, "height": 128, "batch_size": 1}),
        "sample": (
            "KSampler",
            {
                "model": ["model", 0], "positive": ["words", 0], "negative": ["none", 0],
                "latent_image": ["latent", 0], "seed": None, "steps": 2, "cfg": 7.0, "denoise": 1.0,
                "sampler_name": "euler", "scheduler": "normal",
            },
        ),
        "decode": ("VAEDecode", {"samples": ["sample", 0], "vae": ["model", 2]}),
        "save": ("SaveImage", {"images": ["decode", 0], "filename_prefix": "x"}),
    }  # fmt: skip
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}


@pytest.fixture
def pool() -> Iterator[RayPool]:
    engine = engine_of_this_python()
    connect(Address(), gpus=2)
    setup = {
        "python": str(engine.python), "comfyui": str(engine.comfyui), "stall": 300.0,
        "arguments": [
            "--base-directory", os.environ["ENSEMBLE_BASE"], "--disable-all-custom-nodes",
            "--whitelist-custom-nodes", PACK_FOLDER, "--disable-api-nodes", "--cpu",
        ],
    }  # fmt: skip
    made = RayPool(setup, 2)
    yield made
    made.close()
    disconnect()


def test_every_picture_once_under_kills(tmp_path: Path, pool: RayPool):
    yard = Yard(tmp_path / "out")
    bad = graph(99)
    bad["model"]["inputs"]["ckpt_name"] = "small_sd51.safetensors"
    yard.fill([*(graph(n) for n in range(20)), *[RECIPE] * 4, bad])
    facts = {worker: about(pool, worker) for worker in pool.workers()}
    done = yard.out / "records"
    times: dict[str, float] = {}

    def kill(worker: str, what: str) -> None:
        times[what] = time.monotonic()
        os.kill(facts[worker][what], signal.SIGKILL)

    when(lambda: len(list(done.glob("*.json"))) >= 6, lambda: kill("gpu-1", "child"))
    when(lambda: len(list(done.glob("*.json"))) >= 14, lambda: kill("gpu-2", "pid"))
    farm = yard.run(pool)
    rows = yard.rows()
    assert [row["state"] for row in rows] == ["done"] * 24 + ["failed"], yard.lines
    assert rows[-1]["attempts"] == 1
    assert (
        "no worker has 'small_sd51.safetensors'; near: small_sd15.safetensors" in rows[-1]["error"]
    )
    assert farm.tally.deaths >= 1
    yard.check_once(24)
    sizes = {Image.open(path).size for path in yard.out.glob("*.png")}
    assert (192, 128) in sizes
    # Four equal lines with no seed of their own are four pictures.
    with yard.opened() as (_, results):
        seeds = {results.record(row["key"])["report"]["seed"] for row in rows[20:24]}
    assert len(seeds) == 4
