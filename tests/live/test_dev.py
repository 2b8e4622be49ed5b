"""`python dev demo` and `serve` against the real thing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from dev import demo
from dev.base import make_base
from dev.cache import ROOT
from dev.client import Client
from dev.engine import Engine
from dev.graphs import Wishes
from dev.server import Server, free_port, is_free

PUBLIC = {
    "model": {
        "class_type": "CheckpointLoaderSimple",
        "inputs": {"ckpt_name": "public.safetensors"},
    },
    "net": {"class_type": "ControlNetLoader", "inputs": {"control_net_name": "public.pth"}},
    "load": {"class_type": "LoadImage", "inputs": {"image": "two_people.png"}},
    "text": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["model", 1]}},
    "pose": {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": {
            "positive": ["text", 0],
            "negative": ["text", 0],
            "control_net": ["net", 0],
            "image": ["load", 0],
            "strength": 1.0,
            "start_percent": 0.0,
            "end_percent": 1.0,
        },
    },
    "latent": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 768, "height": 512, "batch_size": 1},
    },
    "sample": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["model", 0],
            "positive": ["pose", 0],
            "negative": ["pose", 1],
            "latent_image": ["latent", 0],
            "seed": 1,
            "steps": 30,
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
        "inputs": {"images": ["decode", 0], "filename_prefix": "d"},
    },
}


@pytest.fixture
def table() -> dict:
    return json.loads(demo.TABLE.read_text(encoding="utf-8"))


def render(server, tmp_path, monkeypatch, table, graph) -> bool:
    monkeypatch.setattr(demo, "OUTPUT", tmp_path)
    path = tmp_path / "public.json"
    path.write_text(json.dumps(graph), encoding="utf-8")
    wishes = Wishes(size=(128, 64), steps=2)
    return demo.render(server.client, path, table, wishes)


def test_the_demo_runs_a_workflow_of_public_files(server, tmp_path, monkeypatch, table, capsys):
    assert render(server, tmp_path, monkeypatch, table, PUBLIC)
    picture = Image.open(tmp_path / "public_1.png")
    assert picture.size == (128, 64)
    # The saved picture carries its workflow.
    assert json.loads(picture.info["prompt"])["sample"]["inputs"]["steps"] == 2
    told = capsys.readouterr().out
    assert str(tmp_path / "public_1.png") in told
    assert "small_openpose.safetensors for public.pth" in told
    assert "KSampler: 2 steps" in told


def test_the_demo_tells_of_a_refused_workflow(server, tmp_path, monkeypatch, table, capsys):
    graph = {**PUBLIC, "sample": {**PUBLIC["sample"], "inputs": {**PUBLIC["sample"]["inputs"]}}}
    graph["sample"]["inputs"]["sampler_name"] = "nonsense"
    assert not render(server, tmp_path, monkeypatch, table, graph)
    assert "nonsense" in capsys.readouterr().err


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Name to (time, size) of everything in a folder."""
    found = ((path, path.stat()) for path in folder.rglob("*"))
    return {str(path): (stat.st_mtime_ns, stat.st_size) for path, stat in found}


def test_a_given_install_is_never_written_into(tmp_path):
    """And further model folders are searched."""
    comfyui = Path(os.environ["COMFYUI_PATH"])
    models = Path(os.environ["ENSEMBLE_BASE"]) / "models"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "my_own.safetensors").write_bytes(b"x")
    before = listing(comfyui)
    base = make_base(tmp_path / "base", models.resolve())
    engine = Engine(Path(sys.executable), comfyui, given=True)
    with Server(engine, base, models={"loras": [mine]}) as server:
        client = Client(server.url)
        offered = client.get_json("/models/loras")
        assert "my_own.safetensors" in offered and "peft.safetensors" in offered
        assert client.get_json("/object_info/KSampler")
    assert listing(comfyui) == before


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_serve_prints_its_address_and_ends_the_server_it_started():
    port = free_port()
    command = [sys.executable, str(ROOT / "dev"), "serve", "--port", str(port)]
    environment = {**os.environ, "COMFYUI_PYTHON": sys.executable, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    said = next(line for line in process.stdout if line.startswith("http"))
    address = said.split()[0]
    assert address == f"http://127.0.0.1:{port}"
    assert Client(address).get_json("/system_stats")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    process.stdout.close()
    assert is_free(port)
