import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dev.cache import ROOT


def call(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """`python dev ...` in a process of its own, on the engine and cache of this test run."""
    environment = {**os.environ, "COMFYUI_PYTHON": sys.executable, **changes}
    command = [sys.executable, str(ROOT / "dev"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_where_prints_one_json_object_and_nothing_else():
    answer = call("where")
    assert answer.returncode == 0, answer.stderr
    places = json.loads(answer.stdout)
    assert set(places) == {"python", "comfyui", "base_directory", "models"}
    assert places["python"] == sys.executable
    assert (Path(places["comfyui"]) / "main.py").is_file()
    assert (Path(places["models"]) / "checkpoints" / "small_sd15.safetensors").is_file()
    assert Path(places["models"]).parent == Path(places["base_directory"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bench", "nonsense"], "no benchmark is called 'nonsense'"),
        (["demo", "nonsense"], "example_workflows"),
        (["demo", "--checkpoint", "nonsense.safetensors"], "nonsense.safetensors is not a file"),
        (["serve", "--port", "99999"], "port 99999 is taken or none"),
        (["recipe", "nonsense.txt"], "nonsense.txt is not a file"),
        (["recipe", str(ROOT / "docs" / "editor.png")], "is not UTF-8 text"),
        (["recipe", __file__, "--url", "http://127.0.0.1:9"], "no ComfyUI answers"),
    ],
)
def test_a_wrong_word_gives_one_line(arguments, says):
    answer = call(*arguments)
    assert answer.returncode == 1
    assert says in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_a_taken_port_gives_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answer = call("serve", "--port", str(listener.getsockname()[1]))
    assert answer.returncode == 1
    assert "is taken" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_a_wrong_comfyui_path_gives_one_line(tmp_path):
    answer = call("where", COMFYUI_PATH=str(tmp_path))
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.strip().splitlines()) == 1


def test_unknown_options_are_refused_except_for_pytest():
    assert call("where", "--nonsense").returncode == 2


@pytest.mark.parametrize("arguments", [("--size", "0x64"), ("--size", "100x64"), ("--steps", "0")])
@pytest.mark.parametrize("command", ["demo", "recipe"])
def test_sizes_and_steps_that_cannot_be_rendered_are_refused(command, arguments):
    answer = call(command, __file__, *arguments)
    assert answer.returncode == 2
    assert arguments[0] in answer.stderr
