import sys
from pathlib import Path

import pytest

from dev.engine import Engine, find_python, given_engine, missing_packages
from dev.errors import DevError
from dev.server import Server


@pytest.fixture
def install(tmp_path, monkeypatch) -> Path:
    """A folder that looks like ComfyUI 0.30 and is named by COMFYUI_PATH."""
    comfyui = tmp_path / "portable" / "ComfyUI"
    comfyui.mkdir(parents=True)
    (comfyui / "main.py").write_text("raise SystemExit('no model for you')\n")
    (comfyui / "comfyui_version.py").write_text('__version__ = "0.30.0"\n')
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)
    return comfyui


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_no_comfyui_path_means_no_given_engine(monkeypatch):
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    assert given_engine() is None


def test_the_running_python_is_the_last_resort(install):
    assert given_engine() == Engine(Path(sys.executable), install, given=True)


def test_pythons_are_tried_in_order(install, monkeypatch):
    virtual = touch(install / ".venv" / "bin" / "python")
    assert find_python(install) == virtual
    embedded = touch(install.parent / "python_embeded" / "python.exe")
    assert find_python(install) == embedded
    named = touch(install.parent / "mine" / "python")
    monkeypatch.setenv("COMFYUI_PYTHON", str(named))
    assert find_python(install) == named


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c, m: (c / "main.py").unlink(), "has no main.py"),
        (lambda c, m: m.setenv("COMFYUI_PATH", str(c.parent)), "set COMFYUI_PATH="),
        (
            lambda c, m: (c / "comfyui_version.py").write_text('__version__ = "0.3.60"\n'),
            "ComfyUI 0.3.60; update it to 0.30.0",
        ),
        (lambda c, m: m.setenv("COMFYUI_PYTHON", str(c / "none")), "COMFYUI_PYTHON"),
    ],
)
def test_a_wrong_install_gives_one_line(install, monkeypatch, change, says):
    change(install, monkeypatch)
    with pytest.raises(DevError) as error:
        given_engine()
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_packages_are_named(tmp_path):
    wishes = tmp_path / "requirements.txt"
    wishes.write_text("# comment\ntorch>=2\nno-such-package[extra]==1\npillow\n")
    assert missing_packages(Path(sys.executable), wishes) == ["no-such-package"]


def test_nothing_is_written_into_a_given_install(install, monkeypatch):
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    environment = Engine(Path(sys.executable), install, given=True).environment()
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"
    server = Server(Engine(Path(sys.executable), install, given=True), install.parent / "base")
    command = server.command()
    server.stop()
    assert command[command.index("--base-directory") + 1] == str(install.parent / "base")
    # Only main.py itself is inside the install.
    assert [part for part in command if str(install) in part] == [str(install / "main.py")]


def test_a_failed_start_shows_the_end_of_the_log(install):
    engine = Engine(Path(sys.executable), install, given=True)
    with pytest.raises(DevError, match=r"code 1(.|\n)*no model for you"), Server(engine, install):
        pass


def test_extra_packages_come_last(tmp_path, install):
    import subprocess

    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "only_here.py").write_text("import sys; print(sys.path[-1], sys.argv[1])")
    engine = Engine(Path(sys.executable), install, given=True, extra=tmp_path / "extra")
    answer = subprocess.run(engine.command("only_here", "word"), capture_output=True, text=True)
    assert answer.stdout.split() == [str(tmp_path / "extra"), "word"]
