"""The client that README.md prints, as a reader would run it."""

import json
import re
import subprocess
import sys

import pytest

from dev.base import ROOT
from dev.client import read_graph
from dev.demo import TABLE, WORKFLOWS
from dev.graphs import Wishes, fit


@pytest.fixture
def client(server, tmp_path):
    """Runs the client with `changes` of its text, beside a multi_person made small; what it
    printed."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "multi_person.json" in block)
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    wishes = Wishes(size=(128, 64), steps=1, quick=True)
    graph, _ = fit(read_graph(WORKFLOWS / "multi_person.json"), server.object_info(), table, wishes)
    for stage in ("super_resolution", "hires_fix", "inpaint_faces"):
        graph[f"finish:{stage}"]["inputs"]["switch"] = False
    folder = tmp_path / "example_workflows" / "api"
    folder.mkdir(parents=True)

    def run(lora: str, width: int = 128) -> subprocess.CompletedProcess[str]:
        graph["pose"]["inputs"]["width"] = width
        (folder / "multi_person.json").write_text(json.dumps(graph))
        text = code.replace("http://127.0.0.1:8188", server.url)
        text = text.replace("lora:ann:", f"lora:{lora}:").replace("lora:ben:", "lora:more_details:")
        assert server.url in text and f"<lora:{lora}:1>" in text
        return subprocess.run(
            [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )

    return run


def test_the_client_prints_its_picture_or_the_reason(client):
    assert "multi_person_0" in client("ganyu-lora").stdout
    assert "LoRA 'nobody' is no file" in client("nobody").stdout
    refused = client("ganyu-lora", width=-1)
    assert refused.returncode == 1
    assert "width" in refused.stderr and "smaller than min" in refused.stderr
