import json
import stat
import sys
from pathlib import Path

import pytest
from ensemble_portraits.ensemble.cluster import cli
from ensemble_portraits.ensemble.cluster.address import Address, AddressError, has_token
from ensemble_portraits.ensemble.cluster.join import environment_of, make_token, start_command
from ensemble_portraits.ensemble.cluster.machine import Machine, MachineError, find_machine

from .conftest import STUB, stub_graph

HOW = ("--comfyui", str(STUB), "--python", sys.executable)
HERE = Machine(Path(sys.executable), STUB, ("--cpu",))


def test_the_token_is_for_its_owner_alone(tmp_path):
    path = make_token(tmp_path)
    assert has_token({}, tmp_path)
    assert len(path.read_text()) == 64
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_started():
    head = start_command("head", Address("10.0.0.5", 6380), 2)
    assert {"--head", "--port=6380", "--node-ip-address=10.0.0.5", "--num-gpus=2"} <= set(head)
    worker = start_command("worker", Address("10.0.0.5"), None)
    assert worker[-2:] == ["--block", "--address=10.0.0.5:6379"]


def test_a_worker_of_a_cluster_beyond_this_machine_needs_the_token(tmp_path):
    with pytest.raises(AddressError, match="token"):
        environment_of(Address("10.0.0.5"), HERE, {}, tmp_path)
    found = environment_of(Address("10.0.0.5"), HERE, {"RAY_AUTH_TOKEN": "t"}, tmp_path)
    assert found["RAY_AUTH_MODE"] == "token"
    assert found["ENSEMBLE_FARM_COMFYUI"] == str(STUB)


def test_no_comfyui(tmp_path, monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH")
    with pytest.raises(MachineError, match=r"has no main\.py"):
        find_machine(tmp_path, None, ())
    with pytest.raises(MachineError, match="is not a file"):
        find_machine(STUB, tmp_path / "python", ())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{jobs}", "--out", "{out}", "--cluster", "10.255.0.1:6379"], "without a token"),
        (["none.jsonl", "--out", "{out}"], "cannot be read"),
        (["--status", "--out", "{out}"], "no run has been started"),
        (["worker", "--join", "a/b"], "is not an address"),
        (["worker", "--join", "127.0.0.1"], "is this machine itself"),
        (["{jobs}", "--out", "{out}", "--comfyui", "{out}"], "has no main.py"),
        (["{jobs}", "--out", "{jobs}", *HOW], "Not a directory"),
        (["{jobs}", "--out", "{out}", *HOW, "--cluster", "127.0.0.1:1"], "nothing answers at"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    (tmp_path / "jobs.jsonl").write_text('"a man"')
    names = {"jobs": tmp_path / "jobs.jsonl", "out": tmp_path / "out"}
    code = cli.main([each.format(**names) for each in arguments])
    told = capsys.readouterr().err
    assert code == cli.STOPPED
    assert says in told and len(told.strip().splitlines()) == 1


def test_a_dry_run_compiles_every_line_and_renders_none(tmp_path, capsys):
    (tmp_path / "jobs.jsonl").write_text("\n".join([
        '"a man"', "3", '"an unknown person"', json.dumps(stub_graph(n=1)),
        '{"graph": {"1": {"class_type": "StubX", "inputs": {"ckpt_name": "aa.safetensors"}}}}',
    ]))  # fmt: skip
    out = ["--out", str(tmp_path / "out"), *HOW]
    code = cli.main([str(tmp_path / "jobs.jsonl"), *out, "--dry-run", "--", "--cpu"])
    assert code == cli.SOME_FAILED
    assert capsys.readouterr().out.splitlines() == [
        "line 2 : a job is a text or an object",
        "line 3 : prompt: no file x",
        "line 5 : no node 'StubX'; near: Stub; no file 'aa.safetensors'; near: a.safetensors, "
        "ann.safetensors, b.safetensors",
        "2 jobs that could run here, 3 lines that could not",
    ]
    assert not (tmp_path / "out").exists()
