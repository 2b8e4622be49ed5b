"""The worked examples of SKILL.md, as an agent would run them, on small models."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dev.base import ROOT
from dev.client import read_graph
from dev.demo import TABLE, WORKFLOWS
from dev.graphs import Wishes, fit

TEXT = (ROOT / "SKILL.md").read_text(encoding="utf-8")
SHARED, FIRST, SECOND, THIRD = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SMALL = '"width": 64, "height": 64, "steps": 1, "checkpoint": "small_sd15.safetensors"'


def execute(code: str, url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    whole = (SHARED + code).replace("http://127.0.0.1:8188", url)
    assert url in whole
    return subprocess.run(
        [sys.executable, "-c", whole], cwd=folder, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def small(server, tmp_path) -> Path:
    """A folder with multi_person made small."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    wishes = Wishes(size=(128, 64), steps=1, quick=True)
    graph, _ = fit(read_graph(WORKFLOWS / "multi_person.json"), server.object_info(), table, wishes)
    for stage in ("super_resolution", "hires_fix", "inpaint_faces"):
        graph[f"finish:{stage}"]["inputs"]["switch"] = False
    (tmp_path / "small.json").write_text(json.dumps(graph))
    return tmp_path


def test_two_people_are_checked_and_painted(server, small):
    missing = execute(FIRST, server.url, small)
    assert missing.returncode == 1 and "'nearest': [" in missing.stderr
    code = FIRST.replace("lora:ann:", "lora:ohwx_first:").replace("lora:ben:", "lora:ohwx_second:")
    # What is fetched must be the graph; what is queued is that one, made small.
    fetched = 'graph["text"]["inputs"]["value"] = text'
    assert fetched in code
    swap = "assert graph['save']; graph = json.load(open('small.json'))"
    code = code.replace(fetched, f"{swap}\n{fetched}")
    done = execute(code, server.url, small)
    assert "multi_person_0" in done.stdout, done.stderr


def test_a_hosted_prompt_becomes_a_graph(server, small):
    code = SECOND.replace('{"text": text,', f'{{"text": text, {SMALL},')
    assert SMALL in code
    done = execute(code, server.url, small)
    assert ".png" in done.stdout, done.stderr


def test_a_job_is_one_job(api_server, small):
    code = THIRD.replace('"skip_missing": True', f'"skip_missing": True, {SMALL}')
    assert SMALL in code
    done = execute(code, api_server.url, small)
    assert done.stdout.startswith("success ['http"), done.stderr


def test_it_names_every_node_and_only_routes_that_are_there(server):
    ours = {
        name
        for name, node in server.object_info().items()
        if node["python_module"].startswith("custom_nodes.ensemble")
    }
    assert {name for name in ours if f"`{name}`" not in TEXT} == set()
    for path in re.findall(r"`GET (/[\w/]+)`", TEXT):
        assert server.client.request("GET", path)[0] == 200, path
